"""Turns the logits of several views into one probability for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats


def average_probabilities(logits: Floats, weights: Sequence[float] = ()) -> Floats:
    """Computes the softmax of each view's logits and averages them over the views.

    Args:
        logits: float32 [k, C], k >= 1.
        weights: Weight of each view in the average, [k], all >= 0 and not all 0; equal weights if empty.

    Returns:
        float32 [C], sums to 1. A class with logit nan gets probability 0 from that view; a view whose logits are all
        nan gives every class the same probability.
    """
    return np.asarray(np.average(probabilities(logits), axis=0, weights=weights or None), np.float32)


def probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    """Computes the softmax over the last axis.

    Args:
        logits: float [..., C]; nan is treated as in `average_probabilities`.

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
