"""Says in one line what is wrong in a settings file: which key, what it takes, and what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.redaction import redacted
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
    "dict_type": "a section of names",
    "model_type": "a section of keys",
}


def validation_error(
    error: ValidationError, name: str, root: type[BaseModel], wanted: Mapping[str, str] | None = None
) -> UsageError:
    """Returns the first error of a validation as one line: an unknown key with the nearest one, or what a key takes.

    Args:
        error: The error of pydantic.
        name: Name of the file, for the message.
        root: The model that was validated.
        wanted: What some keys take, in words, by the path of the key, where the type does not say it. A * stands for
            the index of an item of a list or the name of one of a mapping.
    """
    first = error.errors(include_url=False)[0]
    path, pattern, section = _path_of_key(first, root)
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        kind = f"key of {'.'.join(path[:-1])}" if path[:-1] else "key"
        return UsageError(f"{name}: {unknown_name(kind, path[-1], section.model_fields)}")
    if first["type"] == "missing" and path[-1] in section.model_fields:
        return UsageError(f"{name}: {where} is missing; add it: {section.model_fields[path[-1]].description}")
    for part in reversed(first["loc"]):
        if not isinstance(part, int) or first["type"] not in ("missing", "too_long"):  # of a list of fixed length
            break
        path.pop()
        pattern.pop()
    where = ".".join(path)
    takes = (wanted or {}).get(".".join(pattern)) or _wanted(first)
    cure = ""
    if first["type"] == "string_type" and isinstance(first["input"], int | float):  # a camera 0, a class 00001
        cure = f': write it in quotes, as "{getattr(first["input"], "written", _came(first["input"]))}"'
    return UsageError(f"{name}: {where} must be {takes}; got {_came(first['input'])}{cure}")


def _path_of_key(error: ErrorDetails, root: type[BaseModel]) -> tuple[list[str], list[str], type[BaseModel]]:
    """Returns the path of a key in the file, the same with * for items, and the section that it is in.

    Where there may be one of two kinds, pydantic puts in which of them, which is not in the file.
    """
    path: list[str] = []
    pattern: list[str] = []
    section: type[BaseModel] = root
    kinds: list[Any] = [root]
    loc = error["loc"]
    for index, part in enumerate(loc):
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        owner = next((each for each in sections if part in each.model_fields), None)
        is_last = index == len(loc) - 1
        if owner is not None and isinstance(part, str):
            section, kinds = owner, list(_kinds(owner.model_fields[part].annotation))
        elif is_last and error["type"] == "extra_forbidden":
            section = sections[0] if sections else section
        elif not (isinstance(part, int) or dict in kinds):
            continue
        path.append(printable(str(part)[:64]))
        pattern.append("*" if owner is None else path[-1])
    return path, pattern, section


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yields a type, the members of a union, and the items of a list, tuple or mapping, which is yielded as dict."""
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        yield dict
    if not arguments:
        yield annotation
    for each in arguments:
        yield from _kinds(each)


def _wanted(error: ErrorDetails) -> str:
    """Says what a key takes."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("greater_than_equal", "less_than_equal", "less_than", "greater_than"):
        words = {"ge": "at least", "le": "at most", "lt": "below", "gt": "above"}
        return next(f"{word} {context[key]}" for key, word in words.items() if key in context)
    if kind in ("missing", "too_long", "too_short"):
        if kind == "too_short":
            return f"a list of at least {context['min_length']}"
        return f"a list of {context['max_length']}" if "max_length" in context else "a list of more values"
    return WANTED.get(kind, str(error["msg"])[:MAX_QUOTED_CHARACTERS])


def _came(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value!r:.40}"
    if isinstance(value, str):
        return f"the text {printable(redacted(value)[:MAX_QUOTED_CHARACTERS])!r}"
    return "a list" if isinstance(value, Sequence) else "a section of keys"
