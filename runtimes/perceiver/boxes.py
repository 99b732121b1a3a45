"""The boxes of a detector, as parts of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region

SHARE_TOLERANCE = 0.05  # by which a detector's shares of the frame may lie outside of it


def regions_of(boxes: Any, height: int, width: int) -> list[Region]:
    """Returns the part of a frame that each box covers, in whole pixels and clipped to the frame.

    Args:
        boxes: int or float [n, 4], or anything that numpy makes such an array of: left, top, right and bottom edge of
            each box in pixels. n may be 0.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.

    Raises:
        UsageError: They are no such array, or a box is empty or lies outside of the frame; the message names it.
    """
    regions = visible_regions(boxes, height, width)
    for index, region in enumerate(regions):
        if region is None:
            left, top, right, bottom = _as_edges(boxes)[index]
            raise UsageError(
                f"box {index} is {left:g}, {top:g}, {right:g}, {bottom:g}, which covers nothing of the frame of "
                f"{width} x {height} px; a box is its left, top, right and bottom edge"
            )
    return [region for region in regions if region is not None]


def visible_regions(boxes: Any, height: int, width: int) -> list[Region | None]:
    """Returns the part of a frame that each box covers, as `regions_of` does; None for a box that covers nothing.

    Raises:
        UsageError: They are no boxes, or not in pixels.
    """
    edges = _as_edges(boxes)
    if len(edges) and (np.abs(edges - 0.5) <= 0.5 + SHARE_TOLERANCE).all() and (edges % 1).any() and height * width > 1:
        example = ", ".join(f"{edge:g}" for edge in edges[0])
        raise UsageError(
            f"boxes are in pixels, and all edges here are within 0 and 1 ({example}); if they are shares of the frame, "
            "multiply them by its width and height"
        )
    lows = np.floor(edges[:, :2]).clip(0, (width, height)).astype(np.int64)
    highs = np.ceil(edges[:, 2:]).clip(0, (width, height)).astype(np.int64)
    return [
        Region(int(x), int(y), int(right - x), int(bottom - y)) if right > x and bottom > y else None
        for (x, y), (right, bottom) in zip(lows, highs, strict=True)
    ]


def _as_edges(boxes: Any) -> npt.NDArray[np.float64]:
    try:
        if boxes is None:  # which numpy takes for a number
            raise TypeError("there are none")
        given = np.asarray(boxes)
        if given.dtype.kind not in "biufO":  # numpy makes numbers of dates and texts, and drops imaginary parts
            raise UsageError(f"boxes are numbers, [n, 4]; got values of type {given.dtype}")
        edges = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # the last one of torch, for gradients
        raise UsageError(f"boxes are numbers, [n, 4]; got {type(boxes).__name__}: {error}") from None
    if edges.ndim and not len(edges):
        return np.zeros((0, 4))
    if edges.ndim != 2 or edges.shape[1] != 4:
        raise UsageError(f"boxes are [n, 4], the left, top, right and bottom edge of each; got {list(edges.shape)}")
    if not np.isfinite(edges).all():
        raise UsageError(f"box {int((~np.isfinite(edges)).any(1).argmax())} has an edge that is no finite number")
    return edges


def check_regions(regions: Sequence[Region]) -> int:
    """Checks regions that are to be decided on, and returns their number.

    Raises:
        UsageError: They are no list of regions.
    """
    if not isinstance(regions, Sequence) or not all(isinstance(each, Region) for each in regions):
        raise UsageError(
            f"regions are a list of allweather.Region(x, y, width, height); got {regions!r:.60}: boxes go to objects()"
        )
    return len(regions)
