"""Errors with their uncertainty: of one predictor, and the paired difference between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.evaluation.metrics import bootstrap_intervals


@dataclass(frozen=True)
class ErrorRate:
    """Share of incorrect predictions, 0..1, or a difference of two, -1..1, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def error_rate(correct: Sequence[npt.NDArray[np.bool_]]) -> ErrorRate | None:
    """Returns the mean error over cells of the same images; None without any.

    Args:
        correct: bool [n] for each cell, whether the prediction for each image is correct.
    """
    if not correct:
        return None
    incorrect = ~np.stack(correct)
    (low,), (high,) = bootstrap_intervals(incorrect, np.full((1, len(incorrect)), 1 / len(incorrect)))
    return ErrorRate(float(incorrect.mean()), float(low), float(high))


def error_change(before: Sequence[npt.NDArray[np.bool_]], after: Sequence[npt.NDArray[np.bool_]]) -> ErrorRate | None:
    """Returns the difference of two mean errors over cells of the same images; None without any.

    The interval is paired: images are resampled for both together, so that it is much narrower than those of the errors
    themselves. Where it does not hold 0, one is better than the other beyond chance.

    Args:
        before: bool [n] for each cell, whether the prediction that is compared with is correct.
        after: Likewise, of the other one; below 0, it errs less.
    """
    if not before:
        return None
    incorrect = ~np.stack([*after, *before])
    weights = np.repeat([[1, -1]], len(before), 1) / len(before)
    (low,), (high,) = bootstrap_intervals(incorrect, weights)
    return ErrorRate(float(weights[0] @ incorrect.mean(1)), float(low), float(high))
