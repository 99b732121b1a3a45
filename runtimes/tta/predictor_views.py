"""Whether policies rank the views that a loss predictor predicts the losses of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Policy


def check_ranked_views(policies: Iterable[Policy], predictor_views: Sequence[str]) -> None:
    """Checks that every policy that ranks views does so for the views of a loss predictor.

    Args:
        policies: The policies that are stored or used beside the predictor.
        predictor_views: Names of the views whose losses it predicts, in the order of its outputs.

    Raises:
        UsageError: A policy ranks other views, or the same ones in another order.
    """
    for policy in policies:
        if policy.ranks and policy.views != tuple(predictor_views):
            raise UsageError(
                f"policy {policy.name} ranks other views ({', '.join(policy.views[:3])}, ...) than the loss predictor "
                f"predicts ({', '.join(tuple(predictor_views)[:3])}, ...); tune the policy again"
            )
