"""What the systems read on a drive, and their errors in each condition, with intervals over the signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allweather.trainers.data.signs.conditions import CONDITIONS

CLEAR, *BAD_CONDITIONS = CONDITIONS
RESAMPLES = 2000  # of the bootstrap
SEED = 7


@dataclass(frozen=True)
class FrameOutcome:
    """One frame of the drive, its ground truth and what each system read.

    Attributes:
        condition: Condition of the frame, such as "fog".
        truth: Name of the true class; None if there is no sign to read.
        sign: Number of the sign along the road; None if there is none.
        predictions: What each system read, and the last one smoothed: name of the predicted class, by name of
            the system.
        seconds: Time of the decision of the last system, which keeps the budget.
        views: Names of the views that it ran.
        short_of_time: Whether the budget left it no time for all views that its policy asks for.
    """

    condition: str
    truth: str | None
    sign: int | None
    predictions: dict[str, str]
    seconds: float
    views: tuple[str, ...]
    short_of_time: bool = False

    def correct(self, system: str) -> bool | None:
        """Returns whether a system read the sign correctly; None if there is no sign to read."""
        return None if self.truth is None else self.truth == self.predictions[system]


@dataclass(frozen=True)
class ErrorRate:
    """Share of the frames with a sign that were read wrongly, 0..1, with a 95 % interval; nan without a sign.

    The interval is a bootstrap over the signs, because the frames of one sign are not independent of each other.
    """

    error: float
    low: float
    high: float


def error_rate(outcomes: Sequence[FrameOutcome], system: str, conditions: Sequence[str]) -> ErrorRate:
    """Returns the error of a system, averaged over conditions.

    Args:
        outcomes: The frames of the drive.
        system: Name of the system.
        conditions: Conditions; each counts equally, however many signs it has.
    """
    rng = np.random.default_rng(SEED)
    means, resampled = [], []
    for condition in conditions:
        by_sign: dict[int, list[bool]] = {}
        for each in outcomes:
            if each.condition == condition and each.sign is not None:
                by_sign.setdefault(each.sign, []).append(not each.correct(system))
        if not by_sign:
            continue
        wrong = np.array([sum(values) for values in by_sign.values()], float)
        frames = np.array([len(values) for values in by_sign.values()], float)
        drawn = rng.integers(len(wrong), size=(RESAMPLES, len(wrong)))
        means.append(wrong.sum() / frames.sum())
        resampled.append(wrong[drawn].sum(1) / frames[drawn].sum(1))
    if not means:
        return ErrorRate(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(np.mean(resampled, axis=0), (0.025, 0.975))
    return ErrorRate(float(np.mean(means)), float(low), float(high))
