"""From the logits of several views to one distribution over classes."""

from __future__ import annotations

import numpy as np

from allweather.runtimes.frame import Floats


def mean_probability(logits: Floats) -> Floats:
    """Softmax of each view's logits, then their mean.

    Args:
        logits: float32 [k, C], k >= 1.

    Returns:
        float32 [C], sums to 1. A class whose logits are nan gets probability 0 from that view; where a view has none
        but nan it votes for all classes alike.
    """
    clean = np.nan_to_num(logits.astype(np.float64), nan=-np.inf, neginf=-np.inf, posinf=np.finfo(np.float64).max)
    top = clean.max(axis=1, keepdims=True)
    weights = np.exp(clean - np.where(np.isfinite(top), top, 0.0))
    sums = weights.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), 1.0 / clean.shape[1])
    return np.asarray(shares.mean(axis=0), np.float32)
