"""Learning rate as a share of its peak, over a run."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["onecycle", "cosine"]

RISE = 0.2  # share of the run in which one-cycle climbs; 0.2-0.3 is usual (Smith 2018, arXiv:1803.09820)
WARM_UP = 0.02  # share in which cosine climbs: just enough for BatchNorm's statistics to settle


def rate_share(schedule: Schedule, progress: float) -> float:
    """The learning rate over its peak.

    Args:
        schedule: "onecycle" climbs and falls in straight lines; "cosine" warms up, then falls in half a wave.
        progress: share of the run that is done, 0..1.

    Returns:
        0..1.
    """
    if schedule == "onecycle":
        return progress / RISE if progress < RISE else (1 - progress) / (1 - RISE)
    if progress < WARM_UP:
        return progress / WARM_UP
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2
