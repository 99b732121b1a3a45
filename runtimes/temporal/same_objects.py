"""Which parts of a frame show the same objects as those of earlier frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from allweather.runtimes.region import Region


class Seen(Protocol):
    """What of a frame is decided on, before or after that: a `FoundObject` or a `Decision`."""

    @property
    def region(self) -> Region | None:
        """Where it is; None for the whole frame."""

    @property
    def name(self) -> str:
        """Name of the region; empty if it has none."""

    @property
    def track(self) -> int | None:
        """Number that the detector gave it; None if it gave none."""


class ObjectKey(NamedTuple):
    """What an object of a camera is known by: its track, else its name, else the box that it was first seen in.

    Attributes:
        name: Name of its region; empty if it has none.
        track: Number that the detector gave it; None if it gave none.
        box: Number of the box without name and track; None for all others, and for the whole frame.
    """

    name: str = ""
    track: int | None = None
    box: int | None = None


def find_objects(seen: Sequence[Seen], boxes: Mapping[ObjectKey, Region], min_overlap: float) -> list[ObjectKey | None]:
    """Finds the object of each part of a frame.

    Args:
        seen: The parts of a frame that are decided on.
        boxes: Where the objects were seen last that are known by their boxes alone.
        min_overlap: Smallest intersection over union of the boxes of an object in two frames, above 0.

    Returns:
        The key of each one's object; None for a box that overlaps none of `boxes` enough.
    """
    keys: list[ObjectKey | None] = []
    unknown: dict[int, Region] = {}
    for index, each in enumerate(seen):
        if each.track is None and not each.name and each.region is not None:
            unknown[index] = each.region
            keys.append(None)
        else:
            keys.append(ObjectKey(each.name, each.track))
    earlier = list(boxes)
    for row, column in match_boxes(list(unknown.values()), list(boxes.values()), min_overlap):
        keys[list(unknown)[row]] = earlier[column]
    return keys


def match_boxes(boxes: Sequence[Region], earlier: Sequence[Region], min_overlap: float) -> list[tuple[int, int]]:
    """Pairs boxes with earlier ones, the largest overlap first.

    Args:
        boxes: The boxes of a frame.
        earlier: Boxes of earlier frames.
        min_overlap: Smallest intersection over union of a pair, above 0.

    Returns:
        Pairs of the index of a box and that of an earlier one; each box is in one pair at most.
    """
    pairs: list[tuple[int, int]] = []
    if not boxes or not earlier:
        return pairs
    overlaps = intersection_over_union(boxes, earlier)
    while overlaps.max() >= min_overlap:
        row, column = divmod(int(overlaps.argmax()), overlaps.shape[1])
        pairs.append((row, column))
        overlaps[row], overlaps[:, column] = 0.0, 0.0
    return pairs


def intersection_over_union(first: Sequence[Region], second: Sequence[Region]) -> npt.NDArray[np.float64]:
    """Returns the area that two boxes share, over what they cover: float64 [len(first), len(second)], 0..1."""
    ones, others = _edges(first)[:, None], _edges(second)[None]
    sides = np.minimum(ones[..., 2:], others[..., 2:]) - np.maximum(ones[..., :2], others[..., :2])
    shared = sides.clip(0.0).prod(-1)
    covered = (ones[..., 2:] - ones[..., :2]).prod(-1) + (others[..., 2:] - others[..., :2]).prod(-1) - shared
    return np.asarray(shared / covered)


def _edges(boxes: Sequence[Region]) -> npt.NDArray[np.float64]:
    """Returns left, top, right and bottom of each box, float64 [n, 4]."""
    edges = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    return np.array(edges, np.float64)
