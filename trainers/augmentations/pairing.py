"""Makes the augmented copy of a batch: the strategies of Kapoor et al. (section 4.3), and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    INVERSE_PAIRS,
    NON_INVERSE,
    augment_floats,
    row_augmentations,
)
from allweather.trainers.torchvision_import import import_torchvision

TorchvisionName = Literal["randaugment", "trivial"]
TRANSFORMS = {"randaugment": "RandAugment", "trivial": "TrivialAugmentWide"}
IMAGES_PER_DRAW = 8  # images that share one random draw of torchvision's transforms


class Augmentation(Protocol):
    """Makes the augmented copy in each pair of a clean image and an augmented one."""

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: float [n, 3, h, w] in 0..1; not changed.
            epoch: Index of the epoch, from 0.
            rng: Random generator on the device of the images.

        Returns:
            Augmented images of the same shape, in 0..1.
        """
        ...

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Plain values that identify the augmentation; a run resumes only if they are the same as before."""
        ...


@dataclass(frozen=True)
class CombinedAugmentation:
    """The CA strategy: applies all augmentations of a set at once and alternates between the two sets every epoch.

    Attributes:
        parameters: Parameter of each of the seven augmentations, by name.
    """

    parameters: Mapping[str, float]

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Applies Combined+ in even epochs and Combined- in odd ones."""
        names = COMBINATIONS["combined-" if epoch % 2 else "combined+"]
        return augment_floats(images, names, self.parameters, rng)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The strategy and its parameters."""
        return {"strategy": "ca", **asdict(self)}


@dataclass(frozen=True)
class IndividualAugmentation:
    """The IA strategy: applies a single augmentation to each copy.

    The paper makes one copy of an image for each augmentation; here each step makes one copy, with a random one.

    Attributes:
        parameters: Parameter of each augmentation, by name.
        only: The row of the paper's table 3 to apply to all copies. If None, one of the seven augmentations is drawn
            for each image at each step.
    """

    parameters: Mapping[str, float]
    only: str | None = None

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Applies one augmentation to each image."""
        if self.only is not None:
            return augment_floats(images, row_augmentations(self.only), self.parameters, rng)
        chosen = torch.randint(len(AUGMENTATIONS), (len(images),), generator=rng, device=images.device)
        shares = {name: (chosen == index).to(images.dtype) for index, name in enumerate(AUGMENTATIONS)}
        return augment_floats(images, tuple(AUGMENTATIONS), self.parameters, rng, shares)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The strategy and its parameters."""
        return {"strategy": "ia", **asdict(self)}


@dataclass(frozen=True)
class MixedAugmentation:
    """Applies a random subset of the augmentations to each image, each at a random strength up to its full strength.

    Brightness either rises or falls, and so does saturation. Strong augmentations are drawn more often than weak ones,
    because the network learned more from them (docs/results/robust-finetuning.md).

    Before that, some images are darkened as dusk does: all values are multiplied by the same factor, whose logarithm is
    uniform. The strengths do not bound it, as they are small where a classifier is fragile; and brightness, which takes
    the same amount off each value, leaves black where there was little light.

    Attributes:
        parameters: Parameter of each of the seven augmentations at full strength, by name.
        probability: Probability that an augmentation is in the subset, 0..1.
        dark: Probability that an image is darkened, 0..1.
        darkest: Smallest factor of the values of a darkened image, above 0 and at most 1.
    """

    parameters: Mapping[str, float]
    probability: float = 0.8
    dark: float = 0.3
    darkest: float = 0.1

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Applies a random subset at random strengths, drawn for each image."""

        def uniform() -> Tensor:
            return torch.rand(len(images), generator=rng, device=images.device, dtype=images.dtype)

        def random_share() -> Tensor:
            return (1 - uniform() ** 2) * (uniform() < self.probability)

        light = torch.where(uniform() < self.dark, self.darkest ** uniform(), torch.ones_like(uniform()))
        images = images * light[:, None, None, None]
        shares = {name: random_share() for name in NON_INVERSE}
        for up, down in INVERSE_PAIRS:
            share, rises = random_share(), uniform() < 0.5
            shares[up], shares[down] = share * rises, share * ~rises
        return augment_floats(images, tuple(AUGMENTATIONS), self.parameters, rng, shares)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The strategy and its parameters."""
        return {"strategy": "mixed", **asdict(self)}


@dataclass(frozen=True)
class TorchvisionAugmentation:
    """Applies torchvision's RandAugment or TrivialAugmentWide with its default settings.

    Torchvision draws once for a batch, so the batch is split and every eight images share one draw. One draw for each
    image would cost more than the training step.

    Attributes:
        name: "randaugment" or "trivial".
    """

    name: TorchvisionName

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments a batch.

        `rng` is not used: torchvision draws from torch's global generator, which the training loop seeds at each step.
        """
        transform = getattr(import_torchvision("transforms"), TRANSFORMS[self.name])()
        stored = (images * 255).round().to(torch.uint8)
        augmented = torch.cat([transform(part.contiguous()) for part in torch.split(stored, IMAGES_PER_DRAW)])
        return (augmented.to(images.dtype) / 255).contiguous(memory_format=torch.channels_last)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name of the transform."""
        return {"strategy": self.name}
