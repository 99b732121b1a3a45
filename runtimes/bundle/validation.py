"""Turns a validation error of pydantic into one line for a message."""

from __future__ import annotations

from pydantic import ValidationError

from allweather.runtimes.errors import first_line
from allweather.runtimes.text import printable


def first_validation_error(error: Exception) -> str:
    """Returns the first error of a validation as "path.of.the.key: what is wrong"; the first line of any other error.

    Args:
        error: A `ValidationError` of pydantic, or another error that was raised while validating.
    """
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole file"
    return printable(f"{key[:120]}: {first['msg'][:160]}")
