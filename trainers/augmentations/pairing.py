"""How the distorted copy of a batch is made: the strategies of Kapoor et al. (section 4.3), and a mixture of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    WITHOUT_INVERSE,
    augment,
    row_augmentations,
)
from allweather.trainers.torchvision_import import import_torchvision

TorchvisionName = Literal["augmix", "randaugment", "trivial"]
TRANSFORMS = {"augmix": "AugMix", "randaugment": "RandAugment", "trivial": "TrivialAugmentWide"}
SHARED_DRAW = 8
PAIRS = (("brightness+", "brightness-"), ("saturation+", "saturation-"))  # one undoes the other


class Augmentation(Protocol):
    """Makes distorted copies."""

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Distorts a batch.

        Args:
            images: float [n, 3, h, w] in 0..1.
            epoch: from 0.
            rng: on the device of the images.
        """
        ...

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Plain values that tell it from others."""
        ...


@dataclass(frozen=True)
class CombinedAugmentation:
    """CA: all at once; Combined+ and Combined- take turns every epoch.

    Attributes:
        parameters: of the seven augmentations.
    """

    parameters: Mapping[str, float]

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Combined+ in even epochs, Combined- in odd ones."""
        names = COMBINATIONS["combined-" if epoch % 2 else "combined+"]
        return augment(images, names, self.parameters, rng)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Its kind and parameters."""
        return {"strategy": "ca", **asdict(self)}


@dataclass(frozen=True)
class IndividualAugmentation:
    """IA: each copy has one augmentation. The paper makes a copy for each; here they come one after the other.

    Attributes:
        parameters: of the augmentations.
        only: the one of all copies; where None, each picture draws one of the seven at each step.
    """

    parameters: Mapping[str, float]
    only: str | None = None

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """One augmentation a picture."""
        if self.only is not None:
            return augment(images, row_augmentations(self.only), self.parameters, rng)
        chosen = torch.randint(len(AUGMENTATIONS), (len(images),), generator=rng, device=images.device)
        shares = {name: (chosen == number).to(images.dtype) for number, name in enumerate(AUGMENTATIONS)}
        return augment(images, tuple(AUGMENTATIONS), self.parameters, rng, shares)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Its kind and parameters."""
        return {"strategy": "ia", **asdict(self)}


@dataclass(frozen=True)
class MixedAugmentation:
    """Each picture gets a random subset of the augmentations, each at a random strength up to the calibrated one.

    Of brightness and saturation it goes one way or the other. Strong ones are drawn more often than weak ones, as these
    taught more (docs/results/robust-finetuning.md).

    Attributes:
        parameters: of the seven augmentations.
        kept: chance that an augmentation is in the subset.
    """

    parameters: Mapping[str, float]
    kept: float = 0.8

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """A subset and strengths of its own for every picture."""

        def drawn() -> Tensor:
            return torch.rand(len(images), generator=rng, device=images.device, dtype=images.dtype)

        def share() -> Tensor:
            return (1 - drawn() ** 2) * (drawn() < self.kept)

        shares = {name: share() for name in WITHOUT_INVERSE}
        for up, down in PAIRS:
            either, goes_up = share(), drawn() < 0.5
            shares[up], shares[down] = either * goes_up, either * ~goes_up
        return augment(images, tuple(AUGMENTATIONS), self.parameters, rng, shares)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Its kind and parameters."""
        return {"strategy": "mixed", **asdict(self)}


@dataclass(frozen=True)
class TorchvisionAugmentation:
    """Torchvision's AugMix, RandAugment or TrivialAugment with its default settings.

    Every eight pictures share one draw: torchvision takes batches, and draws once for each. One draw a picture would
    cost more than the training step (1.2 s for AugMix on 128 pictures of 32 px, 0.3 s so).

    Attributes:
        name: "augmix", "randaugment" or "trivial".
    """

    name: TorchvisionName

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augmented copies; chance comes from torch's global generator, which the loop seeds at each step."""
        make = getattr(import_torchvision("transforms"), TRANSFORMS[self.name])()
        stored = (images * 255).round().to(torch.uint8)
        made = torch.cat([make(part.contiguous()) for part in torch.split(stored, SHARED_DRAW)])
        return (made.to(images.dtype) / 255).contiguous(memory_format=torch.channels_last)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Its name."""
        return {"strategy": self.name}
