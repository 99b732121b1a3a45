"""safetensors files with one JSON text in their header: weights and what they mean in a single file, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from allweather.runtimes.errors import CheckpointError, OutputError, first_line
from allweather.runtimes.system.atomic_files import atomic_file

SCHEMA = 2  # of the header of all files of this kind
KEY = "allweather"  # of the JSON text among the header's metadata
# what such a text calls its file
CHECKPOINT, PREDICTOR, AUGMENTATION = "allweather-checkpoint", "allweather-predictor", "allweather-augmentation"


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Writes tensors and header to `path`, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_file(path) as beside:
        try:
            save_file(whole, beside, {KEY: json.dumps(header, sort_keys=True)})
        except SafetensorError as error:  # its texts are the operating system's: "I/O error: No space left ..."
            raise OutputError(
                f"cannot write {path}: {first_line(error)}; free some space or choose another place"
            ) from error


def check_schema(path: Path, header: Mapping[str, Any], cure: str) -> None:
    """Checks the schema version of a header.

    Args:
        path: the file, for the message.
        header: with "schema_version".
        cure: what to do about a file of an older version, such as "train it again".

    Raises:
        CheckpointError: it is another version's.
    """
    version = header.get("schema_version")
    if isinstance(version, int) and version != SCHEMA and version > 0:
        age, cure = ("a newer", "update allweather") if version > SCHEMA else ("an older", cure)
        raise CheckpointError(
            f"{path} was made by {age} allweather (file schema {str(version)[:20]}; this one reads {SCHEMA}); {cure}"
        )


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Reads tensors and header; the header is None where `path` is a plain safetensors file.

    Raises:
        CheckpointError: the file is missing, or no intact safetensors file.
    """
    if path.is_dir() or (path.is_file() and path.suffix == ".zip"):
        raise CheckpointError(
            f"{path} is no checkpoint but {'a folder' if path.is_dir() else 'a .zip'}, as bundles are; "
            "name the .safetensors file that it was made of"
        )
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; name a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            text = (file.metadata() or {}).get(KEY)
        header = None if text is None else json.loads(text)
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {first_line(error)}") from error
    if header is not None and not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is no JSON object")
    return tensors, header
