"""Which images a loss predictor learns on, and which are left for choosing a policy with it.

A classifier knows many of its training images by heart. Its losses on them are small whatever the weather does, so a
predictor that learns them sees too few mistakes (docs/results/test-time-augmentation.md). Where the val split is large
enough, the predictor therefore learns on more copies of four fifths of it, and policies are compared on the last fifth.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import LabeledImages

PARTS = 5  # of the val split; the first is left for policies
ENOUGH_IMAGES = 1000  # of the val split: with fewer, a fifth of it could not tell which policy is better
MAX_COPIES = 16  # of an image, as further ones tell little that is new


def holds_back(val: LabeledImages, wanted: bool | None = None) -> bool:
    """Returns whether a loss predictor learns on the val split rather than on the training images.

    Args:
        val: The val split.
        wanted: What was asked for; None for what the data allows: 1000 images are enough.

    Raises:
        UsageError: It was asked for, and the val split is too small.
    """
    enough = len(val) >= ENOUGH_IMAGES
    if wanted and not enough:
        raise UsageError(
            f"held-back images are those of the val split, {ENOUGH_IMAGES} or more; it has {len(val)}: add images to "
            "it, or train the predictor on the training images (--no-held-back)"
        )
    return enough if wanted is None else wanted


def predictor_images(
    dataset: Dataset, copy_settings: CopySettings, wanted: bool | None = None
) -> tuple[LabeledImages, CopySettings]:
    """Returns the images that a loss predictor learns on, and how they are corrupted.

    Args:
        dataset: The data of the classifier.
        copy_settings: How the training images would be corrupted. Held-back images are fewer, and each has more copies:
            as many in all, at most 16 of an image.
        wanted: Whether the images are held-back ones; None for what the data allows, see `holds_back`.

    Raises:
        UsageError: Held-back images are wanted, and there are too few.
    """
    if not holds_back(dataset.val, wanted):
        return dataset.train, copy_settings
    images = dataset.val.take((~_left_for_policies(dataset.val)).nonzero()[:, 0])
    copies = math.ceil(copy_settings.copies * len(dataset.train) / len(images))
    copies = max(copy_settings.copies, min(copies, MAX_COPIES))
    return images, dataclasses.replace(copy_settings, copies=copies)


def policy_images(val: LabeledImages, has_predictor: bool) -> LabeledImages:
    """Returns the validation images that no loss predictor has learned on, to compare policies on.

    Args:
        val: The val split.
        has_predictor: Whether the model has a loss predictor; without one, all images are as good as new.
    """
    unseen = unseen_by_predictor(val, has_predictor)
    return val if bool(unseen.all()) else val.take(unseen.nonzero()[:, 0])


def unseen_by_predictor(val: LabeledImages, has_predictor: bool) -> torch.Tensor:
    """Returns for each validation image whether no loss predictor has learned on it, bool [n]; see `policy_images`."""
    if not has_predictor or not holds_back(val):
        return torch.ones(len(val), dtype=torch.bool)
    return _left_for_policies(val)


def _left_for_policies(val: LabeledImages) -> torch.Tensor:
    return torch.arange(len(val)) % PARTS == 0
