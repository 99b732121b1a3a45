"""What a training step makes small: cross-entropy here, robust objectives elsewhere, all for the one loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.variants import CROP, Variant
from allweather.trainers.data.dataset import Split
from allweather.trainers.training.inference import count_correct


class Objective(Protocol):
    """A loss, and what it wants to be judged by after each epoch."""

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Plain values that must be the same for a run to be resumed."""
        ...

    @property
    def shifted(self) -> Sequence[bool]:
        """One entry for each copy of a picture that a step wants: whether it is moved at random."""
        ...

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """The loss of one batch, a scalar.

        Args:
            model: in train mode.
            images: float32 [copies * n, 3, h, w] in 0..1, channels-last: the first copy of all, then the second.
            labels: int64 [copies * n].
            epoch: from 0.
            rng: seeded for this step and process, on the device of the images.
        """
        ...

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """What an epoch is judged by, 0..1; `val` is on the model's device, and the processes share it."""
        ...

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Further figures by name."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """Plain supervised training.

    Attributes:
        label_smoothing: share of the target spread over all classes, 0 to below 1.
        distortion: what is done to each picture first.
        variant: which augmentation it gets before that.
    """

    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    variant: Variant = CROP

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The distortion's and the variant's; the loop's own settings hold the rest."""
        other = {} if self.variant == CROP else {"variant": self.variant.name}
        return {**(self.augmentation.resume_key if self.augmentation else {}), **other}

    @property
    def shifted(self) -> Sequence[bool]:
        """Whether the pictures are crops."""
        return (self.variant.crop,)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Mean cross-entropy."""
        images = self.variant(images, rng)
        if self.augmentation:
            images = self.augmentation(images, epoch, rng)
        return functional.cross_entropy(model(images), labels, label_smoothing=self.label_smoothing)

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Share of the pictures that are put into their class."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Nothing else."""
        return {}
