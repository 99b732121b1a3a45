"""Checks that the values of a settings dataclass are of the types that its fields state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from numbers import Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from allweather.runtimes.errors import UsageError

MAX_QUOTED_CHARACTERS = 40
WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", type(None): "None"}


def check_types(settings: Any) -> None:
    """Checks the type of each field of a frozen dataclass; a list becomes a tuple, and NumPy's number a number.

    Meant for `__post_init__`, before ranges are checked. A whole number is also a number, and a bool is neither. Text
    is checked to be text; which names there are is left to the caller.

    Raises:
        UsageError: A value is of another type; the message names the field, what it takes and what came.
    """
    hints = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        value = getattr(settings, name)
        if isinstance(value, np.integer | np.floating):
            value = value.item()
            object.__setattr__(settings, name, value)
        if isinstance(value, list) and any(get_origin(kind) is tuple for kind in _kinds(hints[name])):
            value = tuple(value)
            object.__setattr__(settings, name, value)
        if not _fits(value, hints[name]):
            came = repr(value)[:MAX_QUOTED_CHARACTERS] if isinstance(value, int | float | str) else type(value).__name__
            raise UsageError(f"{name.replace('_', ' ')} must be {_words(hints[name])}; got {came}")


def check_instance(name: str, value: object, kind: type, cure: str) -> None:
    """Checks that an argument is an object of a class.

    Args:
        name: Name of the argument, for the message.
        value: The argument.
        kind: The class.
        cure: What to do if it is not, for the message.

    Raises:
        UsageError: It is of another class.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name} is a {kind.__name__}; got {type(value).__name__} {value!r:.40}: {cure}")


def check_text(name: str, value: object) -> None:
    """Checks that an argument is text.

    Raises:
        UsageError: It is something else; its value is not shown, as it may be a secret.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is text; got {type(value).__name__}")


def is_number(value: object) -> bool:
    """Returns whether a value is one number, of Python or NumPy, and no bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Returns whether a value is one whole number, of Python or NumPy, and no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """Returns whether a value is a real number of any library, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Returns the types that a field may have: the members of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    if hint is Any:
        return True
    kinds, origin = _kinds(hint), get_origin(hint)
    if len(kinds) > 1:
        return any(_fits(value, kind) for kind in kinds)
    if origin is Literal:
        return isinstance(value, str)
    if origin is tuple or origin is Sequence:
        return isinstance(value, tuple | list) and all(_fits(each, get_args(hint)[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, int | float if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _words(hint: Any) -> str:
    """Says what a field takes."""
    kinds, origin = _kinds(hint), get_origin(hint)
    if len(kinds) > 1:
        return " or ".join(_words(kind) for kind in kinds)
    if origin is Literal:
        return WORDS[str]
    if origin is tuple or origin is Sequence:
        return f"a tuple, each item {_words(get_args(hint)[0])}"
    return WORDS.get(hint) or f"a {(origin or hint).__name__}"
