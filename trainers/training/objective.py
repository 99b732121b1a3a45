"""Objectives: the loss of a training step and the validation metrics of an epoch; here, plain cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.variants import CROP, Variant
from allweather.trainers.data.dataset import Dataset, LabeledImages
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Objective(Protocol):
    """The loss that the training loop minimizes, and the metrics that it reports after each epoch."""

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Plain values that two runs must share for one to continue the other."""
        ...

    @property
    def shifted(self) -> Sequence[bool]:
        """One entry for each copy of an image that a step needs: whether that copy is shifted at random."""
        ...

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the loss of one batch, a scalar.

        Args:
            model: The model, in train mode.
            images: float32 [copies * n, 3, h, w] in 0..1, channels-last: the first copies of all images, then the
                second copies, and so on.
            labels: int64 [copies * n].
            epoch: Epoch, counted from 0.
            rng: Generator on the device of the images, seeded for this step and process.
        """
        ...

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the accuracy that is reported for an epoch, 0..1.

        Args:
            model: The model with its averaged weights.
            val: The images of the validation split that can be read, whose batches are on the model's device; the
                processes of `fabric` share the work.
            fabric: The launched Fabric.
        """
        ...

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Computes further metrics on the validation split, by name; the arguments are those of `accuracy`."""
        ...


def cross_entropy(
    logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, class_weights: Sequence[float] = ()
) -> Tensor:
    """Computes the mean over images of their cross-entropy, each times the weight of its class.

    It is not divided by the sum of the batch's weights, as torch's is, because several processes would then weight
    their parts of a batch differently.

    Args:
        logits: float [n, C].
        labels: int64 [n].
        label_smoothing: Fraction of the target that is spread over all classes.
        class_weights: C weights; none means 1 for each.
    """
    if not class_weights:
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    losses = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    return (torch.tensor(class_weights, device=labels.device)[labels] * losses).mean()


def class_weights_of(settings: FitSettings, dataset: Dataset) -> tuple[float, ...]:
    """Returns the class weights for a data set: inverse frequencies whose mean over the training images is 1.

    A class without training images has the weight 0. Without balanced weights in the settings the result is empty.
    """
    if settings.class_weights == "none":
        return ()
    counts = torch.bincount(dataset.train.labels, minlength=len(dataset.classes)).double()
    weights = counts.sum() / (counts.count_nonzero() * counts)
    return tuple(torch.where(counts > 0, weights, 0.0).tolist())


@dataclass(frozen=True)
class CrossEntropy:
    """Plain supervised training: the mean cross-entropy of the images.

    Attributes:
        label_smoothing: Fraction of the target that is spread over all classes, 0 to below 1.
        augmentation: Augmentation of every image after its variant; None for none.
        variant: Random augmentation of every image: crop, grayscale, color jitter.
        class_weights: Weight of each class; none means 1 for each.
    """

    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    variant: Variant = CROP
    class_weights: tuple[float, ...] = ()

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Augmentation and variant; the other values are among the settings of the training loop."""
        variant = {} if self.variant == CROP else {"variant": self.variant.name}
        return {**(self.augmentation.resume_key if self.augmentation else {}), **variant}

    @property
    def shifted(self) -> Sequence[bool]:
        """One copy, which is shifted if the variant has a crop."""
        return (self.variant.crop,)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the mean cross-entropy of one batch; see `Objective`."""
        images = self.variant(images, rng)
        if self.augmentation:
            images = self.augmentation(images, epoch, rng)
        return cross_entropy(model(images), labels, self.label_smoothing, self.class_weights)

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the share of images that are classified correctly."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Returns no further metrics."""
        return {}
