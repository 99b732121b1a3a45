"""The size that images are brought to: a square, or a height and a width."""

from __future__ import annotations

import logging
import re
from typing import Protocol, TypeAlias

from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import is_whole
from allweather.runtimes.text import printable

MIN_SIZE, MAX_SIZE = 16, 1024  # pixels
ImageSize: TypeAlias = int | tuple[int, int]  # side of a square, or (height, width), in pixels
SIZE_TEXT = re.compile(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", re.ASCII)
SAME_FRACTION = 1e-3  # crops whose fractions differ by less are the same within a pixel of most images

log = logging.getLogger(__name__)


class CroppedImages(Protocol):
    """What is asked of a `Dataset` here, which itself imports this module."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def crop(self) -> Crop:
        """How its images were cropped."""
        ...

    @property
    def inventory(self) -> object | None:
        """What was found in its files; None for images that are drawn, or come in one size."""
        ...


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
    return int(sides[0]), int(sides[1])


def _is_side(side: int) -> bool:
    return is_whole(side) and MIN_SIZE <= side <= MAX_SIZE


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


def warn_of_other_crop(dataset: CroppedImages, crop: Crop, model: str) -> None:
    """Warns if images were cropped in another way than a model crops them: its accuracy is then that of other pixels.

    Images that are drawn, or come in one size, are not cropped; of these there is no inventory.

    Args:
        dataset: The images, at the size of the model.
        crop: How the model's images are cropped.
        model: What to call the model in the message.
    """
    opened = dataset.crop
    same = opened.kind == crop.kind and abs(opened.fraction - crop.fraction) < SAME_FRACTION
    if same or dataset.inventory is None:
        return
    log.warning(
        "%s crops images to %s, and %s was opened with %s: unless its images had the size of the model before, these "
        "are other pixels than those of the camera loop; open it with crop=allweather.Crop(%r, %.4g)",
        printable(model), _crop_text(crop), printable(dataset.name), _crop_text(opened), crop.kind, crop.fraction,
    )  # fmt: skip


def _crop_text(crop: Crop) -> str:
    return "squash" if crop.kind == "squash" else f"center {crop.fraction:.4g}"
