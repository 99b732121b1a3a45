"""Weights of other programs: what a file is, told by its first bytes, and the state dict in it with plain names."""

from __future__ import annotations

import logging
import pickle
import struct
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from allweather.runtimes.errors import CheckpointError, first_line
from allweather.runtimes.system.path_argument import as_path, out_of_reach
from allweather.runtimes.text import printable
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.legacy_pickle import legacy_fault
from allweather.trainers.checkpoint.weights import path_text

logger = logging.getLogger(__name__)

HEADS, COUNTER = ("fc.", "linear."), "num_batches_tracked"  # what other programs name otherwise, or lack
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
    if out_of_reach(path) or path.is_dir() or not path.is_file():
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


def network_weights(weights: Mapping[str, Tensor], own: Collection[str], where: str) -> dict[str, Tensor]:
    """Returns the part of a state dict that holds one network, under the names that the network has for them.

    What a training program saves beside the network, such as weights of the loss or counters of an average, is left
    out with a warning.

    Args:
        weights: The state dict.
        own: Names of the network's weights.
        where: Name of the file, for messages.

    Raises:
        CheckpointError: It holds several such networks.
    """
    plain = plain_names(weights)
    needed = [key for key in own if not key.startswith(HEADS) and not key.endswith(COUNTER)]
    if not needed or all(key in plain for key in needed):
        return plain
    prefixes = {key.removesuffix(needed[0]) for key in plain if key.endswith(f".{needed[0]}")}
    found = sorted(prefix for prefix in prefixes if all(prefix + key in plain for key in needed))
    if len(found) > 1:
        names = " and ".join(printable(prefix[:40]) for prefix in found[:3])
        raise CheckpointError(
            f"{where} holds {len(found)} networks of this architecture, under {names}; of one, {SAVE}"
        )
    if not found:
        return plain
    others = [key for key in plain if not key.startswith(found[0])]
    if others:
        logger.warning(
            "%s: the network under %s is taken, and what is beside it left out, such as %s",
            where, printable(found[0][:40]), printable(others[0][:80]),
        )  # fmt: skip
    return {key.removeprefix(found[0]): value for key, value in plain.items() if key.startswith(found[0])}


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
