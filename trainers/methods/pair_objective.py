"""Objectives on pairs of a clean picture and a distorted copy: AT, ST, FMA, AIT, and what measured best here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.photometric import TABLE_ROWS, row_augmentations
from allweather.trainers.augmentations.strengths import augmented_accuracy
from allweather.trainers.data.dataset import Split
from allweather.trainers.losses.consistency import ai_loss, feature_map_loss, stability_loss
from allweather.trainers.models.activation_hooks import capture_activations
from allweather.trainers.training.inference import all_reduced, count_correct

Method = Literal["at", "st", "fma", "ait", "robust"]
GAMMAS: Mapping[Method, float] = MappingProxyType({"at": 1.0, "st": 0.3, "fma": 0.3, "ait": 1.0, "robust": 1.0})
JUDGED = 2000  # pictures of the val split that each epoch is judged on, row by row


@dataclass(frozen=True)
class LossWeights:
    """Weights of what is added to the cross-entropy of the clean pictures.

    Attributes:
        labels: of the cross-entropy of the distorted copies.
        divergence: of the divergence of the distorted answers from the clean ones.
        symmetric: of the divergence both ways (the AiLoss).
        maps: of the feature-map loss.
    """

    labels: float = 0.0
    divergence: float = 0.0
    symmetric: float = 0.0
    maps: float = 0.0


def loss_weights(method: Method, gamma: float) -> LossWeights:
    """What a method adds, with its weight gamma (eq. 4)."""
    return {
        "at": LossWeights(labels=1.0),
        "st": LossWeights(divergence=gamma),
        "fma": LossWeights(maps=gamma),
        "ait": LossWeights(labels=1.0, symmetric=gamma),
        "robust": LossWeights(labels=1.0, divergence=gamma),
    }[method]


@dataclass(frozen=True)
class PairObjective:
    """Cross-entropy of clean pictures, and what ties the answers to distorted copies to them.

    Both halves go through the network as one batch, so BatchNorm normalizes by the statistics of both: with a batch of
    its own for each half it learned less, and with frozen statistics it diverged at this rate
    (docs/results/robust-finetuning.md).

    Attributes:
        terms: what is added.
        distortion: makes the copies.
        parameters: of the augmentations that each epoch is judged by; empty for no judgement.
    """

    loss_weights: LossWeights
    augmentation: Augmentation
    parameters: Mapping[str, float] = field(default_factory=dict)

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Weights and distortion."""
        return {**vars(self.loss_weights), **self.augmentation.resume_key}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """The loss of one batch, a scalar; see `Objective`."""
        pair = torch.cat([images, self.augmentation(images, epoch, rng)])
        maps: list[Tensor] = []
        with ExitStack() as stack:
            if self.loss_weights.maps:
                maps = stack.enter_context(capture_activations())
            clean, augmented = model(pair).chunk(2)
        loss = functional.cross_entropy(clean, labels)
        if self.loss_weights.labels:
            loss = loss + self.loss_weights.labels * functional.cross_entropy(augmented, labels)
        if self.loss_weights.divergence:
            loss = loss + self.loss_weights.divergence * stability_loss(clean, augmented)
        if self.loss_weights.symmetric:
            loss = loss + self.loss_weights.symmetric * ai_loss(clean, augmented, "kl")
        if self.loss_weights.maps:
            loss = loss + self.loss_weights.maps * feature_map_loss(maps)
        return loss

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Share of the clean pictures that are put into their class."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Accuracy on each augmentation and both combinations, 0..1; the processes share the rows."""
        if not self.parameters:
            return {}
        some = val.take(torch.linspace(0, len(val) - 1, min(JUDGED, len(val)), device=val.labels.device).long())
        found = torch.zeros(len(TABLE_ROWS), device=val.labels.device)
        for number in range(fabric.global_rank, len(TABLE_ROWS), fabric.world_size):
            found[number] = augmented_accuracy(model, some, row_augmentations(TABLE_ROWS[number]), self.parameters)
        return dict(zip(TABLE_ROWS, all_reduced(fabric, found, "sum").tolist(), strict=True))
