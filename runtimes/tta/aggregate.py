"""Turns the logits of several views into one probability for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.policy import Averaged
from allweather.runtimes.types import Floats

# stands for an infinite logit where logits are averaged: any 64 views of it with the largest weights have a finite sum
LARGEST = 1e300


def average(logits: Floats, weights: Sequence[float] = (), averages: Averaged = "probabilities") -> Floats:
    """Averages what several views of one image give, as `Policy.averages` says.

    Args:
        logits: float32 [k, C], k >= 1.
        weights: Weight of each view in the average, [k], all >= 0 and not all 0; equal weights if empty.
        averages: "probabilities" or "logits"; see `Policy`.

    Returns:
        float32 [C], sums to 1. For logits that are not finite see `scores`.
    """
    mean = np.average(scores(logits, averages), axis=0, weights=weights or None)
    return np.asarray(from_mean(mean, averages), np.float32)


def agreement(logits: Floats, probabilities: Floats) -> float:
    """Returns the share of views, 0..1, whose own most probable class is that of their average.

    Args:
        logits: float32 [k, C], k >= 1.
        probabilities: float32 [C], their average.
    """
    if len(logits) == 1:
        return 1.0
    most_probable = scores(logits, "logits").argmax(axis=-1)
    return float((most_probable == probabilities.argmax()).mean())


def scores(logits: Floats, averages: Averaged) -> npt.NDArray[np.float64]:
    """Computes what is averaged over the views: the softmax of each view's logits, or the logits themselves.

    Args:
        logits: float [..., C].
        averages: "probabilities" or "logits".

    Returns:
        float64 [..., C]. Probabilities sum to 1 over the last axis; a class with logit nan gets probability 0, and if
        all logits are nan, every class has the same probability. Logits are finite, and the largest is 0: so a class
        with logit nan or minus infinity is less probable than any that no view excludes, and a view whose logits are
        all nan changes nothing.
    """
    if averages == "probabilities":
        return probabilities(logits)
    finite = np.nan_to_num(logits.astype(np.float64), copy=False, nan=-LARGEST, neginf=-LARGEST, posinf=LARGEST)
    finite -= finite.max(axis=-1, keepdims=True)
    return finite


def from_mean(mean: npt.NDArray[np.float64], averages: Averaged) -> npt.NDArray[np.float64]:
    """Returns the probabilities, float64 [..., C], that the mean of the views' scores stands for."""
    if averages == "probabilities":
        return mean
    weights: npt.NDArray[np.float64] = np.exp(mean - mean.max(axis=-1, keepdims=True))  # finite, as scores are
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def probabilities(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Computes the softmax over the last axis.

    Args:
        logits: float [..., C]; nan is treated as in `scores`.

    Returns:
        float64 [..., C], sums to 1 over the last axis.
    """
    clean = np.nan_to_num(logits.astype(np.float64), nan=-np.inf, neginf=-np.inf, posinf=np.finfo(np.float64).max)
    top = clean.max(axis=-1, keepdims=True)
    weights = np.exp(clean - np.where(np.isfinite(top), top, 0.0))
    sums = weights.sum(axis=-1, keepdims=True)
    uniform = 1.0 / clean.shape[-1]
    result: npt.NDArray[np.float64] = np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), uniform)
    return result
