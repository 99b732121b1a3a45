"""The weighted average of the views that a policy runs, for many images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.policy import Policy, parse_policy

CENTER = parse_policy("center")  # one view, the unchanged image


def average_views(
    policy: Policy, chosen: npt.NDArray[np.int64], by_view: dict[str, npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Averages the probabilities of the views that a policy runs, until its early exit.

    Args:
        policy: The policy, with its weights and its early-exit threshold.
        chosen: int [n, policy.num_views], the indices of the views that it chose for each image, in order.
        by_view: Probabilities, float64 [n, C], of every view that it may run, by name.

    Returns:
        (weighted mean of the probabilities, float64 [n, C]; number of views run, int64 [n]).
    """
    total, weights = np.zeros_like(next(iter(by_view.values()))), np.zeros((len(chosen), 1))
    views_run, active = np.zeros(len(chosen), np.int64), np.ones(len(chosen), np.bool_)
    for column in chosen.T:
        for part in range(policy.images_per_view):
            for index in np.unique(column[active]):
                rows = np.flatnonzero(active & (column == index))
                names, view_weights = policy.views_for([index])
                total[rows] += view_weights[part] * by_view[names[part]][rows]
                weights[rows] += view_weights[part]
            views_run += active
            if policy.exits_early:
                active &= total.max(1) <= policy.early_exit_threshold * weights[:, 0]
    average: npt.NDArray[np.float64] = total / np.where(weights > 0, weights, 1)
    return average, views_run
