"""Which validation images a policy is chosen on, and which are kept to show the errors of its accepted decisions."""

from __future__ import annotations

from allweather.trainers.data.split import LabeledImages
from allweather.trainers.methods.loss_predictor.held_back import policy_images, unseen_by_predictor
from allweather.trainers.policies.acceptance import RiskTarget


def tuning_images(
    val: LabeledImages, has_predictor: bool, risk: float | None = None
) -> tuple[LabeledImages, RiskTarget | None]:
    """Returns the images to compare policies on, and the target for the risk of accepted decisions.

    What has been chosen on some images looks better on them than it is. With a risk, policies are therefore compared,
    and their confidence is calibrated, on every other image only; the threshold is found on those between. For a policy
    that needs no loss predictor, the images that the predictor has learned on join these.

    Args:
        val: The val split.
        has_predictor: Whether the model has a loss predictor; see `policy_images`.
        risk: Share of errors that accepted decisions may have, above 0 and below 1; None for no target.

    Raises:
        UsageError: The risk is out of range.
    """
    if risk is None:
        return policy_images(val, has_predictor), None
    unseen = unseen_by_predictor(val, has_predictor)
    is_second = unseen.cumsum(0) % 2 == 0  # of the unseen ones, every other
    compared, second, others = (
        val.take(rows.nonzero()[:, 0]) for rows in (unseen & ~is_second, unseen & is_second, ~unseen | is_second)
    )
    return compared, RiskTarget(risk, second, others)
