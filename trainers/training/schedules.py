"""Learning-rate schedules: the factor by which the highest learning rate is multiplied during a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from allweather.trainers.choices import Schedule as Schedule

# Fraction of the run with a rising rate. "onecycle": 0.2-0.3 is usual (Smith 2018, arXiv:1803.09820); "cosine": just
# enough for BatchNorm's statistics to become stable; "step": none, as in the ResNet paper.
WARMUPS: Mapping[Schedule, float] = MappingProxyType({"onecycle": 0.2, "cosine": 0.02, "step": 0.0})
STEP_FACTOR = 0.1  # by which schedule "step" multiplies the rate at each milestone, as in the ResNet paper


def lr_factor(
    schedule: Schedule, progress: float, warmup: float | None = None, milestones: Sequence[float] = ()
) -> float:
    """Returns the learning rate as a fraction of the highest one.

    Args:
        schedule: All rise linearly during the warm-up. Then "onecycle" falls linearly to 0, "cosine" falls to 0 as half
            a cosine wave, and "step" falls to a tenth at each milestone.
        progress: Fraction of the run that is done, 0..1.
        warmup: Fraction of the run with a rising rate, 0 to below 1; None means the schedule's own.
        milestones: Fractions of the run at which "step" lowers the rate.

    Returns:
        A factor in 0..1.
    """
    warmup = WARMUPS[schedule] if warmup is None else warmup
    if progress < warmup:
        return progress / warmup
    if schedule == "onecycle":
        return (1 - progress) / (1 - warmup)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return STEP_FACTOR ** sum(progress >= milestone for milestone in milestones)
