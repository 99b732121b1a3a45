"""`Smoothing`: how the decisions on one object are combined over frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_types


@dataclass(frozen=True)
class Smoothing:
    """How the decisions on one object are combined over frames; docs/results/temporal-smoothing.md measures it.

    A single frame never changes the label of an object that several frames agree on, however confident it is, as long
    as `outlier_rate` is at least `1.5 / object_frames`; two or three frames in a row do.

    Attributes:
        object_frames: Mean number of frames for which an object stays, at least 2; frames that were dropped count. Each
            frame is that of a new object with probability `1 / object_frames`, so that the belief in a label is
            forgotten with a half-life of 0.69 times as many frames. Objects that are told apart by tracks, names or
            boxes hardly depend on it (chosen on the drive: 10, 30 and 100 are level); in a fixed region, a low value
            follows a change sooner.
        outlier_rate: Share of frames whose prediction means nothing, above 0 and below 1. It bounds how much one frame
            changes, as confident predictions are often wrong in bad weather, and in neighboring frames alike. The
            default is the lowest with which no single frame changes a label.
        stable_frames: Number of frames for which the label must have been the same to be stable, at least 1. Three
            frames are what a change of object may take.
        max_gap_frames: Number of frames after which an object that is not seen is forgotten, at least 1. After 30
            nearly all of it would be forgotten anyway.
        max_gap_seconds: Seconds between captures after which it is forgotten, above 0: a camera that was lost does not
            know how many frames it has missed. Longer than frames of a slow computer are apart.
        min_overlap: Smallest intersection over union of the boxes of an object in two frames, if it has neither a track
            nor a name; above 0 and at most 1. 0.3 as in the tracker SORT (Bewley et al., ICIP 2016).
        max_objects: Largest number of objects that are remembered, at least 1; those seen last are kept. 256 with 1,000
            classes take 2 MB.
    """

    object_frames: float = 10.0
    outlier_rate: float = 0.15
    stable_frames: int = 3
    max_gap_frames: int = 30
    max_gap_seconds: float = 5.0
    min_overlap: float = 0.3
    max_objects: int = 256

    def __post_init__(self) -> None:
        """Checks all values.

        Raises:
            UsageError: A value has the wrong type or is out of range; the message names it and what it takes.
        """
        check_types(self)
        _check("object_frames", self.object_frames, "finite and at least 2", 2 <= self.object_frames < math.inf)
        _check("outlier_rate", self.outlier_rate, "above 0 and below 1", 0 < self.outlier_rate < 1)
        _check("max_gap_seconds", self.max_gap_seconds, "above 0", self.max_gap_seconds > 0)
        _check("min_overlap", self.min_overlap, "above 0 and at most 1", 0 < self.min_overlap <= 1)
        for name in ("stable_frames", "max_gap_frames", "max_objects"):
            value = getattr(self, name)
            _check(name, value, "at least 1", value >= 1)


def _check(name: str, value: float, takes: str, fits: bool) -> None:
    if not fits:
        raise UsageError(f"{name.replace('_', ' ')} of the smoothing must be {takes}; got {value:g}")
