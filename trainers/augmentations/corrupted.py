"""Corruptions as an augmentation of training: the rival of a loss predictor in table 2 of Kim et al. (2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from allweather.trainers.augmentations.pairing import IMAGES_PER_DRAW
from allweather.trainers.corruptions.any_image import corrupt
from allweather.trainers.corruptions.catalogue import COMMON
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.image_tensors import to_pixels
from allweather.trainers.torchvision_import import import_torchvision

ALL_CORRUPTED = CopySettings(clean=0.0)


@dataclass(frozen=True)
class CorruptionAugmentation:
    """Corrupts each image by one of the 15 common corruptions at a severity of 1 to 5, both drawn uniformly.

    The corruptions run in numpy on the CPU, so images of a GPU go there and back in each step. The 4 corruptions that
    are held out of every training stay held out.
    """

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Corrupts a batch; see `Augmentation`. The result has multiples of 1/255.

        Raises:
            DataError: The images are smaller than 16 x 16 pixels.
        """
        pixels = to_pixels(images).cpu().movedim(1, -1).contiguous().numpy()
        seed = int(torch.randint(1 << 62, (), generator=rng, device=rng.device))
        corrupted, _ = corrupted_copies(pixels, ALL_CORRUPTED, np.random.default_rng(seed))
        result = torch.from_numpy(corrupted).to(images.device).movedim(-1, 1)
        return (result.to(images.dtype) / 255).contiguous(memory_format=torch.channels_last)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name of the augmentation."""
        return {"strategy": "corruptions"}


@dataclass(frozen=True)
class CorruptedAugMix:
    """Applies torchvision's AugMix with the 15 common corruptions among its operations: "AugMix+" of Kim et al. (2020).

    All 28 operations are drawn equally often, and a corruption has a severity of 1 to 5. As with
    `TorchvisionAugmentation`, eight images share one draw of the operations; noise and the like are drawn for each
    image.
    """

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments a batch; see `Augmentation`.

        `rng` is not used: torchvision draws from torch's global generator, which the training loop seeds at each step.

        Raises:
            DataError: The images are smaller than 16 x 16 pixels.
        """
        transform = _corrupted_augmix()()
        parts = torch.split(to_pixels(images), IMAGES_PER_DRAW)
        augmented = torch.cat([transform(part.contiguous()) for part in parts])
        return (augmented.to(images.dtype) / 255).contiguous(memory_format=torch.channels_last)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name of the augmentation."""
        return {"strategy": "augmix+corruptions"}


@cache
def _corrupted_augmix() -> type[nn.Module]:
    """Returns AugMix of torchvision's v2 with further operations; made on first use, as torchvision imports slowly."""
    augmix: Any = import_torchvision("transforms.v2").AugMix

    class WithCorruptions(augmix):  # type: ignore[misc]  # torchvision has no types
        _AUGMENTATION_SPACE = {  # noqa: RUF012  # torchvision's own form
            **augmix._AUGMENTATION_SPACE,
            **{name: (lambda num_bins, height, width: None, False) for name in COMMON},
        }

        def _apply_image_or_video_transform(
            self, image: Tensor, transform_id: str, magnitude: float, **options: Any
        ) -> Any:
            if transform_id not in COMMON:
                return super()._apply_image_or_video_transform(image, transform_id, magnitude, **options)
            severity = SEVERITIES[int(torch.randint(len(SEVERITIES), ()))]
            return corrupt(image, transform_id, severity)

    return WithCorruptions
