"""From the logits of several views to one distribution over classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats


def average_probabilities(logits: Floats, weights: Sequence[float] = ()) -> Floats:
    """Softmax of each view's logits, then their mean.

    Args:
        logits: float32 [k, C], k >= 1.
        weights: of the views in the mean, [k], all >= 0, not all 0; equal where empty.

    Returns:
        float32 [C], sums to 1. A class whose logits are nan gets probability 0 from that view; where a view has none
        but nan it votes for all classes alike.
    """
    shares = probabilities(logits)
    return np.asarray(np.average(shares, axis=0, weights=weights or None), np.float32)


def probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, float [..., C] -> float64 [..., C]; nan as in `average_probabilities`."""
    clean = np.nan_to_num(logits.astype(np.float64), nan=-np.inf, neginf=-np.inf, posinf=np.finfo(np.float64).max)
    top = clean.max(axis=-1, keepdims=True)
    weights = np.exp(clean - np.where(np.isfinite(top), top, 0.0))
    sums = weights.sum(axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), 1.0 / clean.shape[-1])
    return found
