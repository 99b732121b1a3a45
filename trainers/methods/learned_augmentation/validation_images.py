"""The held-out images whose loss a learned augmentation is to decrease."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS, augment_floats
from allweather.trainers.choices import AugmentationAim
from allweather.trainers.corruptions import EXTRA, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages

BATCH_SIZE = 500  # images that are augmented at once


def validation_images(held_out: LabeledImages, aim: AugmentationAim, seed: int) -> LabeledImages:
    """Returns the held-out images as the aim changes them.

    The aim "clean" reads none of them. The others draw their random numbers in an order that is not that of the images,
    so that they make a copy of all of them, which is on disk if they are too many for memory.

    Args:
        held_out: Images that the classifier was not trained on.
        aim: See `LearnAugmentationSettings`.
        seed: Random seed of the changes; the same seed gives the same images.

    Raises:
        OutputError: There is not enough space on the disk for the copy.
    """
    if aim == "clean":
        return held_out
    copy = held_out.take(torch.arange(len(held_out), device=held_out.labels.device)).loaded()
    if aim == "corrupted":
        _corrupt(copy.images, seed)
    else:
        _combine(copy.images, seed)
    return copy


def _corrupt(images: Tensor, seed: int) -> None:
    """Changes each image by one of the four extra corruptions, at a random severity."""
    rng, pixels = np.random.default_rng(seed), images.numpy()
    corruptions, severities = (rng.integers(count, size=len(pixels)) for count in (len(EXTRA), len(SEVERITIES)))
    for corruption, name in enumerate(EXTRA):
        for index, severity in enumerate(SEVERITIES):
            (rows,) = ((corruptions == corruption) & (severities == index)).nonzero()
            for first in range(0, len(rows), BATCH_SIZE):
                batch = rows[first : first + BATCH_SIZE]
                pixels[batch] = corrupt_images(pixels[batch], name, severity, rng)


def _combine(images: Tensor, seed: int) -> None:
    """Changes the images by Combined+ and Combined- in turn, at the strengths of the paper."""
    rng = torch.Generator().manual_seed(seed)
    strengths = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
    for first, names in enumerate(COMBINATIONS.values()):
        for batch in torch.split(images[first::2], BATCH_SIZE):
            augmented = augment_floats(to_float(batch), names, strengths, rng)
            batch.copy_((augmented * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
