"""The weighted average of the views that a policy runs, for many images at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.aggregate import from_mean, scores
from allweather.runtimes.tta.confidence_model import energy
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Floats

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
CENTER = parse_policy("center")  # one view, the unchanged image


def every_name(policy: Policy) -> tuple[str, ...]:
    """Returns the names of all views that a policy may run on an image, after "large:" those for a large classifier."""
    names, _ = policy.views_for(range(len(policy.views)))
    return (*names, *(LARGE + name for name in policy.views)) if policy.large else names


def average_views(policy: Policy, chosen: Indices, by_view: Mapping[str, Floats]) -> tuple[Array, Indices]:
    """Averages the views that a policy runs, until its early exit, as the camera loop does for one image.

    Args:
        policy: The policy: what it averages, its weights and its early-exit threshold.
        chosen: int [n, policy.num_views], the indices of the views that it chose for each image, in order.
        by_view: Logits, float32 [n, C], of every view that it may run, by name; see `every_name`.

    Returns:
        (probabilities, float64 [n, C], which sum to 1; number of views run, int64 [n]).
    """
    *_, last = averages_of_budgets(policy, chosen, by_view)
    return last


def averages_of_budgets(
    policy: Policy, chosen: Indices, by_view: Mapping[str, Floats]
) -> Iterator[tuple[Array, Indices]]:
    """Yields what `average_views` returns if the budget leaves time for 1 view, 2 views, ..., all views of the policy.

    What a large classifier runs comes last, as one view more.

    Args:
        policy: See `average_views`.
        chosen: See `average_views`.
        by_view: See `average_views`.
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
            average = from_mean(total / np.where(weights > 0, weights, 1), policy.averages)
            if policy.exits_early:
                active &= average.max(1) <= policy.early_exit_threshold
            yield average, views_run.copy()
    if policy.large:
        for index in np.unique(chosen[active, 0]):
            rows = np.flatnonzero(active & (chosen[:, 0] == index))
            name = LARGE + policy.views[index]
            total[rows] += weights[rows] * scores(by_view[name][rows], policy.averages)
            weights[rows] *= 2
        views_run += active
        yield from_mean(total / np.where(weights > 0, weights, 1), policy.averages), views_run.copy()


def mean_energies(policy: Policy, chosen: Indices, by_view: Mapping[str, Floats]) -> Array:
    """Computes the mean energy of the first view, the first two views, ..., all views that a policy chose.

    Args:
        policy: The policy.
        chosen: See `average_views`.
        by_view: See `average_views`.

    Returns:
        float64 [n, policy.planned_views].
    """
    names, _ = policy.views_for(range(len(policy.views)))
    of_views = np.stack([energy(by_view[name]) for name in names], 1)
    parts = policy.images_per_view
    columns = (chosen[:, :, None] * parts + np.arange(parts)).reshape(len(chosen), -1)
    run = np.take_along_axis(of_views, columns, 1)
    if policy.large:
        on_large = np.stack([energy(by_view[LARGE + name]) for name in policy.views], 1)
        run = np.concatenate([run, np.take_along_axis(on_large, chosen[:, :1], 1)], 1)
    means: Array = run.cumsum(1) / np.arange(1, run.shape[1] + 1)
    return means
