"""Which validation images a policy is chosen on, and which are kept to show the errors of its accepted decisions."""

from __future__ import annotations

from allweather.trainers.data.split import LabeledImages
from allweather.trainers.methods.loss_predictor.held_back import policy_images, unseen_by_predictor
from allweather.trainers.policies.acceptance import RiskTarget

ENOUGH_IMAGES = 1000  # that a confidence is calibrated on; of fewer the temperature is a rough one
ADVISED_COPIES = 8  # of 150 images they made a temperature vary by a third less from one choice of images to the next


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


def few_images_sentences(used: int, val_images: int | None, copies: int) -> tuple[str, ...]:
    """Says in plain words that a policy and its confidence rest on few images, and what to do; nothing if on enough.

    Args:
        used: Number of validation images that policies are compared on.
        val_images: Number of images of the val split; None if they are all of it.
        copies: Corrupted copies of each.
    """
    if used >= ENOUGH_IMAGES:
        return ()
    part = f" of the {val_images} of the val split" if val_images else ""
    each = "a corrupted copy" if copies == 1 else f"{copies} corrupted copies"
    more = f"take {ADVISED_COPIES} copies of each (--copies {ADVISED_COPIES}; in a file of create, tune.copies)"
    cure = f", or at least {more}" if copies < ADVISED_COPIES else ""
    return (
        f"the policy and its confidence rest on {used} images{part}, {each} of each: with fewer than {ENOUGH_IMAGES} "
        f"images, confidence and unknown may be wrong by several points; add images to the val split{cure}",
    )
