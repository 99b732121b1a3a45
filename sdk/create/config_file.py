"""Reads create.yaml: checks keys and types, and says in one line what is wrong where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from allweather.create.config import NONE, CreateConfig
from allweather.create.yaml_file import read_yaml
from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable

MAX_QUOTED_CHARACTERS = 40
WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_unicode": "text in UTF-8",
    "tuple_type": "a list, such as [a, b]",
}
OPTIONAL = ("finetune", "predictor")  # sections in whose place there may be `none`


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
        raise _one_line(error, printable(name[:100])) from error


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


def _one_line(error: ValidationError, name: str) -> UsageError:
    """Returns the first error of a validation: an unknown key with the nearest one, or a type with what is wanted."""
    first = error.errors(include_url=False)[0]
    path = _path_of_key(first["loc"])
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        section = _section(path[:-1])
        kind = f"key of {'.'.join(path[:-1])}" if path[:-1] else "key"
        return UsageError(f"{name}: {unknown_name(kind, path[-1], section.model_fields)}")
    if first["type"] == "missing" and not path[-1].isdigit():
        return UsageError(
            f"{name}: {where} is missing; add it: {_section(path[:-1]).model_fields[path[-1]].description}"
        )
    if first["type"] == "missing":  # one of three numbers
        where = ".".join(path[:-1])
    return UsageError(f"{name}: {where} must be {_wanted(first, path)}; got {_came(first['input'])}")


def _path_of_key(loc: tuple[int | str, ...]) -> list[str]:
    """Returns the path of a key in the file; where there may be one of two kinds, pydantic puts in which of them."""
    parts = [loc[0], *loc[2:]] if loc[0] in (*OPTIONAL, "size") else [*loc]
    return [printable(str(part)[:64]) for part in parts]


def _wanted(error: ErrorDetails, path: list[str]) -> str:
    """Says what a key takes."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("greater_than_equal", "less_than"):
        return f"at least {context['ge']}" if "ge" in context else f"below {context['lt']}"
    if kind in ("missing", "too_long"):
        return "three numbers, such as [0.5, 0.5, 0.5]"
    if kind == "model_type":
        return f"{NONE}, or a section of keys" if path[-1] in OPTIONAL else "a section of keys"
    return WANTED.get(kind, str(error["msg"])[:MAX_QUOTED_CHARACTERS])


def _section(path: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = CreateConfig
    for key in path:
        kinds = (section.model_fields[key].annotation, *get_args(section.model_fields[key].annotation))
        section = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return section


def _came(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value!r:.40}"
    if isinstance(value, str):
        return f"the text {printable(value[:MAX_QUOTED_CHARACTERS])!r}"
    return "a list" if isinstance(value, list | tuple) else "a section of keys"
