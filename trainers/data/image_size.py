"""The size that images are brought to: a square, or a height and a width."""

from __future__ import annotations

import re
from typing import TypeAlias

from allweather.runtimes.errors import UsageError
from allweather.runtimes.text import printable

MIN_SIZE, MAX_SIZE = 16, 1024  # pixels
ImageSize: TypeAlias = int | tuple[int, int]  # side of a square, or (height, width), in pixels
SIZE_TEXT = re.compile(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", re.ASCII)


def check_size(size: ImageSize, what: str) -> tuple[int, int]:
    """Checks the size that images are brought to, and returns it as (height, width).

    Args:
        size: Side of a square in pixels, or (height, width).
        what: Name of the argument or option, for the message.

    Raises:
        UsageError: It is neither, or a side is no whole number from 16 to 1024.
    """
    sides = size if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(_is_side(side) for side in sides):
        raise UsageError(
            f"{what} is a side of {MIN_SIZE} to {MAX_SIZE} pixels, or height and width; got {_size_text(size)}"
        )
    return sides[0], sides[1]


def _is_side(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and MIN_SIZE <= side <= MAX_SIZE


def _size_text(size: object) -> str:
    if isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return f"{size[0]}x{size[1]}"  # as the command line writes it
    return f"{size!r:.40}"


def parse_size(text: str) -> ImageSize:
    """Parses a size as the command line and configuration files write it: 224, or 160x224 for height x width.

    Raises:
        UsageError: It is no such text, or a side is out of range.
    """
    match = SIZE_TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--size is a side in pixels such as 224, or height x width such as 160x224; got {printable(text[:40])!r}"
        )
    height, width = int(match[1]), match[2]
    return check_size(height if width is None else (height, int(width)), "--size")
