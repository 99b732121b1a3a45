"""Reads create.yaml: checks keys and types, and says in one line what is wrong where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from allweather.create.config import NONE, CreateConfig
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.settings_file import read_yaml, validation_error

THREE_NUMBERS = "three numbers, such as [0.5, 0.5, 0.5]"
WANTED = {
    "finetune": f"{NONE}, or a section of keys",
    "predictor": f"{NONE}, or a section of keys",
    "onnx.mean": THREE_NUMBERS,
    "onnx.std": THREE_NUMBERS,
}  # where the type of the key does not say it


def read_config(path: Path | str | None, given: Mapping[str, Any]) -> CreateConfig:
    """Reads a file of settings, in which options of the command line replace keys.

    Args:
        path: The file; None for the defaults.
        given: Values of the command line by the path of their key, such as "train.arch".

    Raises:
        UsageError: The file cannot be read, or has a key that does not exist or a value of another type.
    """
    if path is None:
        return parse_config({}, given, "the command line")
    path = as_path(path)
    return parse_config(read_yaml(path), given, path.name)


def parse_config(raw: Mapping[str, Any], given: Mapping[str, Any], name: str) -> CreateConfig:
    """Checks the content of a file of settings; see `read_config`.

    Args:
        raw: Content of the file.
        given: Values of the command line.
        name: Name of the file, for messages.

    Raises:
        UsageError: As `read_config`.
    """
    parse = CreateConfig.model_validate
    try:
        parse(raw)  # before the command line replaces a part, so that no fault of the file is hidden
        return parse(_with_given(raw, given))
    except ValidationError as error:
        raise validation_error(error, printable(name[:100]), CreateConfig, WANTED) from error


def _with_given(raw: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a file with those of the command line in their place.

    A network of the command line replaces any network of the file.
    """
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in raw.items()}
    if any(key in given for key in ("train.arch", "train.model", "onnx.file")):
        merged["train"] = {
            key: value for key, value in (merged.get("train") or {}).items() if key not in ("arch", "model")
        }
        if "onnx.file" not in given:
            merged.pop("onnx", None)
    for path, value in given.items():
        section, _, key = path.rpartition(".")
        if section:
            merged[section] = {**(merged.get(section) or {}), key: value}
        else:
            merged[key] = value
    return merged
