"""The held-out images whose loss a learned augmentation is to decrease."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS, augment
from allweather.trainers.choices import AugmentationAim
from allweather.trainers.corruptions import EXTRA, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Split

BATCH_SIZE = 500  # images that are augmented at once


def validation_images(held_out: Split, aim: AugmentationAim, seed: int) -> Tensor:
    """Returns the held-out images as the aim changes them.

    Args:
        held_out: Images that the classifier was not trained on.
        aim: See `LearnAugmentationSettings`.
        seed: Random seed of the changes; the same seed gives the same images.

    Returns:
        uint8 [n, h, w, 3].
    """
    if aim == "clean":
        return held_out.images
    return _corrupted(held_out.images, seed) if aim == "corrupted" else _combined(held_out.images, seed)


def _corrupted(images: Tensor, seed: int) -> Tensor:
    """Returns images under one of the four extra corruptions each, at a random severity."""
    rng, result = np.random.default_rng(seed), images.numpy().copy()
    corruptions, severities = (rng.integers(count, size=len(result)) for count in (len(EXTRA), len(SEVERITIES)))
    for corruption, name in enumerate(EXTRA):
        for index, severity in enumerate(SEVERITIES):
            rows = (corruptions == corruption) & (severities == index)
            if rows.any():
                result[rows] = corrupt_images(result[rows], name, severity, rng)
    return torch.from_numpy(result)


def _combined(images: Tensor, seed: int) -> Tensor:
    """Returns images under Combined+ and Combined- in turn, at the strengths of the paper."""
    rng = torch.Generator().manual_seed(seed)
    strengths = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
    result = torch.empty_like(images)
    for first, names in enumerate(COMBINATIONS.values()):
        batches = (torch.split(tensor[first::2], BATCH_SIZE) for tensor in (images, result))
        for batch, result_batch in zip(*batches, strict=True):
            augmented = augment(to_float(batch), names, strengths, rng)
            result_batch.copy_((augmented * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return result
