"""Learning-rate schedules: the factor by which the highest learning rate is multiplied during a run."""

from __future__ import annotations

import math

from allweather.trainers.choices import Schedule as Schedule

ONECYCLE_RISE = 0.2  # fraction of the run with a rising rate; 0.2-0.3 is usual (Smith 2018, arXiv:1803.09820)
COSINE_WARMUP = 0.02  # fraction of the run with a rising rate: just enough for BatchNorm's statistics to become stable


def lr_factor(schedule: Schedule, progress: float) -> float:
    """Returns the learning rate as a fraction of the highest one.

    Args:
        schedule: "onecycle" rises and falls linearly; "cosine" rises linearly for a short time, then falls as half a
            cosine wave.
        progress: Fraction of the run that is done, 0..1.

    Returns:
        A factor in 0..1.
    """
    if schedule == "onecycle":
        return progress / ONECYCLE_RISE if progress < ONECYCLE_RISE else (1 - progress) / (1 - ONECYCLE_RISE)
    if progress < COSINE_WARMUP:
        return progress / COSINE_WARMUP
    return (1 + math.cos(math.pi * (progress - COSINE_WARMUP) / (1 - COSINE_WARMUP))) / 2
