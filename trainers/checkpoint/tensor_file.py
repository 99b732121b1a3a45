"""safetensors files with a JSON text in their metadata: weights and what they are in one file, without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from allweather.runtimes.errors import CheckpointError, OutputError, first_line
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import out_of_reach
from allweather.runtimes.text import valid_unicode

SCHEMA_VERSION = 2  # of the JSON headers of checkpoints, predictors and learned augmentations
METADATA_KEY = "allweather"  # of the JSON text in the metadata of the safetensors file
# Values of "format" in the JSON text, one for each kind of file.
CHECKPOINT, PREDICTOR, AUGMENTATION = "allweather-checkpoint", "allweather-predictor", "allweather-augmentation"
GRAPH = "a model and no checkpoint: make a bundle of it first, by allweather import"
WEIGHTS = "a file of torch and no checkpoint: make one of it first, by allweather import"
FOREIGN = {".onnx": GRAPH, ".xml": GRAPH, ".pth": WEIGHTS, ".pt": WEIGHTS, ".bin": WEIGHTS, ".ckpt": WEIGHTS}


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Writes tensors and a header to a file, completely or not at all.

    Args:
        path: The file.
        tensors: Tensors by name, on any device.
        header: Values that can be written as JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    stored: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        stored[key] = tensor.clone() if place in storages else tensor  # layers may share weights; the format may not
        storages.add(place)
    with atomic_file(path) as temporary:
        try:
            save_file(stored, temporary, {METADATA_KEY: json.dumps(header, sort_keys=True)})
        except SafetensorError as error:  # wraps the operating system's message: "I/O error: No space left ..."
            raise OutputError(
                f"cannot write {path}: {first_line(error)}; free some space or choose another folder"
            ) from error


def check_schema(path: Path, header: Mapping[str, Any], remedy: str) -> None:
    """Checks that a header has the schema version that this allweather reads.

    A version that is not a positive integer passes here; the validation of the header finds it.

    Args:
        path: The file, for the message.
        header: The header, with "schema_version".
        remedy: What to do about a file of an older version, such as "train it again".

    Raises:
        CheckpointError: The header is of an older or a newer version.
    """
    version = header.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION and version > 0:
        newer = version > SCHEMA_VERSION
        raise CheckpointError(
            f"{path} was made by {'a newer' if newer else 'an older'} allweather (file schema {str(version)[:20]}; "
            f"this one reads {SCHEMA_VERSION}); {'update allweather' if newer else remedy}"
        )


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Reads the tensors and the header of a file.

    Returns:
        The tensors by name, and the header; None instead of a header for a safetensors file of another program.

    Raises:
        CheckpointError: The file is missing, or not an intact safetensors file.
    """
    if reason := out_of_reach(path):
        raise CheckpointError(f"{path} cannot be read: {reason}")
    if path.is_dir() or (path.is_file() and path.suffix == ".zip"):
        raise CheckpointError(
            f"{path} is not a checkpoint but {'a folder' if path.is_dir() else 'a .zip'}, as bundles are; "
            "name the .safetensors file that it was exported from"
        )
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; name a .safetensors file")
    try:
        with _path_in_utf8(path) as readable, safe_open(readable, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            text = (file.metadata() or {}).get(METADATA_KEY)
        header = None if text is None else json.loads(text)
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError) as error:
        if path.suffix.lower() in FOREIGN:
            raise CheckpointError(f"{path} is {FOREIGN[path.suffix.lower()]}") from error
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {first_line(error)}") from error
    if header is not None and not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is not a JSON object")
    return tensors, header


@contextmanager
def _path_in_utf8(path: Path) -> Iterator[Path]:
    """Yields a path that safetensors takes: it takes none that is not UTF-8."""
    if valid_unicode(str(path)) == str(path):
        yield path
        return
    with path.open("rb") as file:
        yield Path(f"/dev/fd/{file.fileno()}")


def stated_classes(path: Path) -> tuple[str, ...]:
    """Returns the classes that a checkpoint of allweather states; none for another file."""
    try:
        with _path_in_utf8(path) as readable, safe_open(readable, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError):
        return ()
    classes = header.get("classes") if isinstance(header, dict) else None
    return tuple(map(str, classes)) if isinstance(classes, list) else ()
