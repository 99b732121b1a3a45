"""The loss of robust finetuning, on pairs of a clean image and an augmented copy: AT, ST, FMA, AIT and "robust"."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.photometric import TABLE_ROWS, row_augmentations
from allweather.trainers.augmentations.strengths import rows_correct
from allweather.trainers.choices import FinetuneMethod
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import all_reduced, count_correct
from allweather.trainers.losses.consistency import ai_loss, feature_map_loss, stability_loss
from allweather.trainers.models.activation_hooks import capture_activations
from allweather.trainers.training.objective import cross_entropy

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEFAULT_GAMMAS: Mapping[FinetuneMethod, float] = MappingProxyType(
    {"at": 1.0, "st": 0.3, "fma": 0.3, "ait": 1.0, "robust": 1.0}
)
MAX_VAL_IMAGES = 2000  # images of the validation split on which each augmentation is evaluated after an epoch


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms that are added to the cross-entropy of the clean images.

    Attributes:
        augmented_labels: Weight of the cross-entropy of the augmented copies.
        stability: Weight of the stability loss: the divergence of the predictions for the augmented copies from those
            for the clean images.
        ai: Weight of the AiLoss: the sum of that divergence in both directions.
        feature_maps: Weight of the feature-map augmentation loss (FMA).
    """

    augmented_labels: float = 0.0
    stability: float = 0.0
    ai: float = 0.0
    feature_maps: float = 0.0


def loss_weights(method: FinetuneMethod, gamma: float) -> LossWeights:
    """Returns the loss weights of a method whose own term has the weight gamma (eq. 4 of Kapoor et al.)."""
    return {
        "at": LossWeights(augmented_labels=1.0),
        "st": LossWeights(stability=gamma),
        "fma": LossWeights(feature_maps=gamma),
        "ait": LossWeights(augmented_labels=1.0, ai=gamma),
        "robust": LossWeights(augmented_labels=1.0, stability=gamma),
    }[method]


@dataclass(frozen=True)
class PairObjective:
    """Cross-entropy of the clean images, plus terms for the augmented copies; see `LossWeights`.

    Clean images and copies go through the network as one batch, so that BatchNorm normalizes by the statistics of both.
    With a separate batch for each half the network learned less, and with frozen statistics it diverged at this
    learning rate (docs/results/robust-finetuning.md).

    Attributes:
        loss_weights: Weights of the added terms.
        augmentation: Makes the augmented copies.
        strengths: Strengths of the photometric augmentations on which each epoch is evaluated, by name; if empty, only
            clean images are evaluated.
        layers: Names of the layers whose outputs the feature-map loss compares; those of all activation functions if
            empty.
        class_weights: Weight of each class in the cross-entropy; none means 1 for each.
        label_smoothing: Fraction of the target that is spread over all classes, 0 to below 1.
    """

    loss_weights: LossWeights
    augmentation: Augmentation
    strengths: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Loss weights, augmentation, and the layers if some are named."""
        layers = {"layers": list(self.layers)} if self.layers else {}
        return {**vars(self.loss_weights), **self.augmentation.resume_key, **layers}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the loss of one batch, a scalar; see `Objective`."""
        weights = self.loss_weights
        pair = torch.cat([images, self.augmentation(images, epoch, rng)])
        maps: list[Tensor] = []
        with ExitStack() as stack:
            if weights.feature_maps:
                maps = stack.enter_context(capture_activations(model, self.layers))
            clean, augmented = model(pair).chunk(2)
        loss = cross_entropy(clean, labels, self.label_smoothing, self.class_weights)
        if weights.augmented_labels:
            augmented_loss = cross_entropy(augmented, labels, self.label_smoothing, self.class_weights)
            loss = loss + weights.augmented_labels * augmented_loss
        if weights.stability:
            loss = loss + weights.stability * stability_loss(clean, augmented)
        if weights.ai:
            loss = loss + weights.ai * ai_loss(clean, augmented, "kl")
        if weights.feature_maps:
            loss = loss + weights.feature_maps * feature_map_loss(maps)
        return loss

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the share of clean images that are classified correctly."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Computes the accuracy, 0..1, under each augmentation and both combinations; processes share the work."""
        if not self.strengths:
            return {}
        accuracies = table_rows_correct(model, compared_images(val), self.strengths, fabric).mean(1)
        return dict(zip(TABLE_ROWS, accuracies.tolist(), strict=True))


def compared_images(val: LabeledImages) -> LabeledImages:
    """Returns the validation images on which augmentations are evaluated: all, or 2000 at equal distances."""
    indices = torch.linspace(0, len(val) - 1, min(MAX_VAL_IMAGES, len(val)), device=val.labels.device).long()
    return val.take(indices)


def table_rows_correct(
    model: nn.Module, images: LabeledImages, strengths: Mapping[str, float], fabric: Fabric
) -> Tensor:
    """Returns whether each image is classified correctly in each augmented row of table 3 (Kapoor et al.).

    Args:
        model: The classifier.
        images: Images and labels whose batches are on the device of the model; each process reads them once.
        strengths: Strengths of the photometric augmentations, by name.
        fabric: A launched Fabric; its processes share the work.

    Returns:
        float [9, n] of 0 and 1, in the order of `TABLE_ROWS`.
    """
    correct = torch.zeros(len(TABLE_ROWS), len(images), device=fabric.device)
    mine = range(fabric.global_rank, len(TABLE_ROWS), fabric.world_size)
    if mine:
        rows = [row_augmentations(TABLE_ROWS[row]) for row in mine]
        correct[mine] = rows_correct(model, images, rows, strengths).float()
    return all_reduced(fabric, correct, "sum")
