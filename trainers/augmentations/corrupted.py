"""Corruptions as an augmentation of training: the rival of a loss predictor in table 2 of Kim et al. (2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from allweather.trainers.augmentations.augmix import AUGMIX_OPERATIONS
from allweather.trainers.augmentations.chains import ChainMixture, Operation
from allweather.trainers.corruptions.catalogue import COMMON
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.image_tensors import to_pixels

ALL_CORRUPTED = CopySettings(clean=0.0, dark=0.0)


def random_corruption(images: Tensor, rng: torch.Generator) -> Tensor:
    """Corrupts each image by one of the 15 common corruptions at a severity of 1 to 5, both drawn uniformly.

    The corruptions run in numpy on the CPU, so images of a GPU go there and back. The 4 corruptions that are held out
    of every training stay held out.

    Args:
        images: float [n, 3, h, w] in 0..1; not changed.
        rng: Random generator on the device of the images.

    Returns:
        Corrupted images of the same shape, in multiples of 1/255.

    Raises:
        DataError: The images are smaller than 16 x 16 pixels.
    """
    pixels = to_pixels(images).cpu().movedim(1, -1).contiguous().numpy()
    seed = int(torch.randint(1 << 62, (), generator=rng, device=rng.device))
    corrupted, _ = corrupted_copies(pixels, ALL_CORRUPTED, np.random.default_rng(seed))
    result = torch.from_numpy(corrupted).to(images.device).movedim(-1, 1)
    return (result.to(images.dtype) / 255).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class CorruptionAugmentation:
    """Corrupts each image of a batch; see `random_corruption`."""

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Corrupts a batch; see `Augmentation`."""
        return random_corruption(images, rng)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name of the augmentation."""
        return {"strategy": "corruptions"}


# "AugMix+" of Kim et al. (2020): each of the 15 corruptions is drawn as often as each of AugMix's own operations
CORRUPTED_AUGMIX = ChainMixture(
    "augmix+corruptions", (*AUGMIX_OPERATIONS, Operation(random_corruption, weight=len(COMMON)))
)
