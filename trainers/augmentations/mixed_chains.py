"""The augmentations of training for consistency: AugMix, PRIME, and both with the photometric augmentations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from allweather.trainers.augmentations.augmix import AUGMIX, AUGMIX_OPERATIONS
from allweather.trainers.augmentations.chains import ChainMixture
from allweather.trainers.augmentations.pairing import Augmentation, MixedAugmentation
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.prime import PRIME, PRIME_OPERATIONS
from allweather.trainers.choices import RobustName

PHOTOMETRIC_SHARE = 0.5  # of the images, which chains have changed already


@dataclass(frozen=True)
class MixedChains:
    """An `Augmentation`: chains of the operations of AugMix and PRIME, and photometric ones on half of the images.

    Half of the operations in the chains are AugMix's, half PRIME's. Photometric augmentations have strengths up to
    those of the paper (table 1 of Kapoor et al.), as there is no classifier yet on which they could be searched.

    Attributes:
        chains: Mixes the image with the chains.
        photometric: Changes the light of what they make of it, blurs it and adds noise.
    """

    chains: ChainMixture
    photometric: MixedAugmentation

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments a batch; see `Augmentation`."""
        mixed = self.chains(images, epoch, rng)
        order = torch.randperm(len(images), generator=rng, device=images.device)
        rows = order[: round(PHOTOMETRIC_SHARE * len(images))]
        if len(rows):
            mixed[rows] = self.photometric(mixed[rows], epoch, rng)
        return mixed

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name."""
        return {"strategy": self.chains.name}


def _mixed() -> MixedChains:
    augmix_weight = sum(each.weight for each in AUGMIX_OPERATIONS) / sum(each.weight for each in PRIME_OPERATIONS)
    primitives = [replace(each, weight=each.weight * augmix_weight) for each in PRIME_OPERATIONS]
    strengths = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
    return MixedChains(
        ChainMixture("augmix, prime and photometric", (*AUGMIX_OPERATIONS, *primitives)), MixedAugmentation(strengths)
    )


ROBUST_AUGMENTATIONS: Mapping[RobustName, Augmentation] = MappingProxyType(
    {"augmix": AUGMIX, "prime": PRIME, "mixed": _mixed()}
)
