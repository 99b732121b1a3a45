"""Weights of other programs: what a file is, told by its first bytes, and the state dict in it with plain names."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from allweather.runtimes.errors import CheckpointError, first_line
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.legacy_pickle import legacy_fault
from allweather.trainers.checkpoint.weights import path_text

WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "backbone.")  # added by wrappers, in any nesting
WRAPPERS = ("state_dict", "model_state_dict", "model", "ema", "model_ema", "state_dict_ema", "net", "network")
SAVE = "save its weights alone: torch.save(model.state_dict(), 'weights.pth')"
# what torch.load raises for a damaged file
LOAD_ERRORS = (
    RuntimeError, ValueError, OSError, EOFError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
    struct.error,
)  # fmt: skip
MAX_ZIP_ENTRIES = 100_000  # a state dict has one for each weight
# First bytes of files that are no state dict, what they are, and what to do.
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "a Keras file (HDF5)", "allweather takes weights of PyTorch"),
    (b"GGUF", "a GGUF file of a language model", "allweather takes weights of PyTorch"),
    (b"\x93NUMPY", "a NumPy array", "save a state dict with safetensors or torch.save"),
    (b"<?xml", "OpenVINO IR, a compiled model", "name the PyTorch weights that it was made from"),
    (b"ftrt", "a TensorRT engine", "name the PyTorch weights that it was made from"),
    (b"version https://git-lfs", "a pointer of Git LFS, and not the file itself", "fetch it: git lfs pull"),
    (b"<!DOCTYPE", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
)


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Reads the state dict in a .safetensors or .pth file; nothing in the file is run.

    Raises:
        CheckpointError: The file is missing, or something else than a state dict; the message says what to do.
    """
    path = as_path(path)
    if path.is_dir() or not path.is_file():
        return tensor_file.read(path)[0]  # which says that it is missing, or a folder
    where = path_text(path)
    with path.open("rb") as stream:
        head = stream.read(64)
    for magic, kind, cure in KINDS:
        if head.startswith(magic):
            raise CheckpointError(f"{where} is {kind}; {cure}")
    if head.startswith(b"PK\x03\x04"):
        _check_zip(path, where)
        return _read_torch(path, where)
    if head.startswith(b"\x80") and head[1:2] <= b"\x05" and path.suffix != ".safetensors":
        if fault := legacy_fault(path):
            raise CheckpointError(f"{where} is a pickle, as torch before version 1.6 saved, but {fault}; copy it again")
        return _read_torch(path, where, mmap=False)
    if path.suffix == ".onnx" or (
        head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in (b"\x12", b"\x1a", b":")
    ):
        raise CheckpointError(
            f"{where} is an ONNX graph, which is compiled and not trained: 'allweather import' makes a bundle of a "
            ".onnx file; to train, name the PyTorch weights that it was made from"
        )
    return tensor_file.read(path)[0]


def plain_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict without the prefixes that wrapper modules add to every name."""
    result = dict(weights)
    while prefix := next((each for each in WRAPPER_PREFIXES if result and all(k.startswith(each) for k in result)), ""):
        result = {key.removeprefix(prefix): value for key, value in result.items()}
    return result


def _check_zip(path: Path, where: str) -> None:
    """Checks by the names in a .zip file that it is one of torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{where} is damaged, as if it was cut ({first_line(error)}); copy it again") from error
    if len(names) > MAX_ZIP_ENTRIES:
        raise CheckpointError(f"{where} holds {len(names)} files; no state dict has as many")
    parts = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in parts:
        raise CheckpointError(
            f"{where} is a TorchScript program, and not weights alone; in Python: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if "manifest.json" in parts:
        raise CheckpointError(f"{where} is a bundle, which is compiled; name the checkpoint that it was exported from")
    if "data.pkl" not in parts:
        raise CheckpointError(f"{where} is a .zip file without weights; name a .safetensors or .pth file")


def _read_torch(path: Path, where: str, *, mmap: bool = True) -> dict[str, Tensor]:
    """Reads a file of torch.save without running what it holds."""
    try:
        with warnings.catch_warnings():  # torch warns of old and quantized tensors, which are refused in one line
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error):
            raise CheckpointError(
                f"{where} holds a whole model or other Python objects, which could run any program when it is opened; "
                f"in the program that made it, {SAVE}"
            ) from error
        raise CheckpointError(f"{where} is damaged ({first_line(error)}); copy it again") from error
    except LOAD_ERRORS as error:
        raise CheckpointError(f"{where} is damaged or no file of torch.save ({first_line(error)}); {SAVE}") from error
    return _find_state_dict(loaded, where)


def _find_state_dict(loaded: object, where: str) -> dict[str, Tensor]:
    for _ in range(4):  # wrappers in wrappers
        if not isinstance(loaded, Mapping):
            break
        tensors = {key: value for key, value in loaded.items() if isinstance(key, str) and isinstance(value, Tensor)}
        if tensors and len(tensors) == len(loaded):
            return tensors
        inner = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    raise CheckpointError(f"{where} holds no state dict, but a {type(loaded).__name__}; {SAVE}")
