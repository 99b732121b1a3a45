"""What a validation refused, in words."""

from __future__ import annotations

from pydantic import ValidationError

from allweather.runtimes.errors import first_line, printable


def first_fault(error: Exception) -> str:
    """The first thing that a validation refused, as "place: what is wrong"; the first line of any other error."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "the whole"
    return printable(f"{place[:120]}: {fault['msg'][:160]}")
