"""Training for consistency: a network learns to predict the same for an image and for two augmented copies of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.variants import CROP, Variant
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.losses.consistency import jensen_shannon_divergence
from allweather.trainers.training.objective import cross_entropy

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEFAULT_WEIGHT = 12.0  # of the divergence, as in the papers of AugMix and PRIME
COPIES = 2


@dataclass(frozen=True)
class ConsistencyObjective:
    """Cross-entropy of the clean images, and the divergence of the predictions for them and for two copies of each.

    The divergence is that of Jensen and Shannon, and the copies are augmented (Hendrycks et al. 2020, arXiv:1912.02781,
    section 3). An image and its copies are shifted and flipped alike, and go through the network as one batch.

    Attributes:
        augmentation: Makes the copies.
        weight: Weight of the divergence.
        label_smoothing: Fraction of the target that is spread over all classes, 0 to below 1.
        variant: Random augmentation of an image before it is copied: crop, grayscale, color jitter.
        class_weights: Weight of each class in the cross-entropy; none means 1 for each.
    """

    augmentation: Augmentation
    weight: float = DEFAULT_WEIGHT
    label_smoothing: float = 0.0
    variant: Variant = CROP
    class_weights: tuple[float, ...] = ()

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Weight, augmentation and variant; the other values are among the settings of the training loop."""
        variant = {} if self.variant == CROP else {"variant": self.variant.name}
        return {"jensen_shannon": self.weight, **self.augmentation.resume_key, **variant}

    @property
    def shifted(self) -> Sequence[bool]:
        """One copy, which is shifted if the variant has a crop."""
        return (self.variant.crop,)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the loss of one batch, a scalar; see `Objective`."""
        images = self.variant(images, rng)
        copies = self.augmentation(images.repeat(COPIES, 1, 1, 1), epoch, rng)
        outputs = model(torch.cat([images, copies])).chunk(1 + COPIES)
        loss = cross_entropy(outputs[0], labels, self.label_smoothing, self.class_weights)
        return loss + self.weight * jensen_shannon_divergence(outputs)

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the share of clean images that are classified correctly."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Returns no further metrics."""
        return {}
