"""The weighted average of the views that a policy runs, for many images at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.aggregate import from_mean, scores
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.types import Floats

Array = npt.NDArray[np.float64]
CENTER = parse_policy("center")  # one view, the unchanged image


def average_views(
    policy: Policy, chosen: npt.NDArray[np.int64], by_view: Mapping[str, Floats]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Averages the views that a policy runs, until its early exit, as the camera loop does for one image.

    Args:
        policy: The policy: what it averages, its weights and its early-exit threshold.
        chosen: int [n, policy.num_views], the indices of the views that it chose for each image, in order.
        by_view: Logits, float32 [n, C], of every view that it may run, by name.

    Returns:
        (probabilities, float64 [n, C], which sum to 1; number of views run, int64 [n]).
    """
    total, weights = np.zeros(next(iter(by_view.values())).shape), np.zeros((len(chosen), 1))
    views_run, active = np.zeros(len(chosen), np.int64), np.ones(len(chosen), np.bool_)
    for column in chosen.T:
        for part in range(policy.images_per_view):
            for index in np.unique(column[active]):
                rows = np.flatnonzero(active & (column == index))
                names, view_weights = policy.views_for([index])
                total[rows] += view_weights[part] * scores(by_view[names[part]][rows], policy.averages)
                weights[rows] += view_weights[part]
            views_run += active
            if policy.exits_early:
                active &= _mean(policy, total, weights).max(1) <= policy.early_exit_threshold
    return _mean(policy, total, weights), views_run


def _mean(policy: Policy, total: Array, weights: Array) -> Array:
    """Returns the probabilities, float64 [n, C], of weighted sums of scores and the sums of their weights [n, 1]."""
    return from_mean(total / np.where(weights > 0, weights, 1), policy.averages)
