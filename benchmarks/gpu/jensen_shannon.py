"""Training on three views of an image: cross-entropy of the clean one, and Jensen-Shannon divergence of all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.data.split import Split
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.losses.consistency import kl_divergence
from allweather.trainers.training.objective import cross_entropy

WEIGHT = 12.0  # of the divergence, as in the AugMix paper


def jensen_shannon(outputs: Sequence[Tensor]) -> Tensor:
    """Returns the Jensen-Shannon divergence of softmax outputs in nats, a scalar: 0 if they agree, at most log(k).

        JS = 1/k sum_j KL(P_j || M), with M the mean of the k distributions

    Args:
        outputs: Logits for each of k views of the same images, float [n, C] each.
    """
    logs = torch.stack([each.float().log_softmax(1) for each in outputs])
    mean = logs.exp().mean(0).clamp(1e-7, 1).log()
    return torch.stack([kl_divergence(each, mean) for each in logs]).mean()


@dataclass(frozen=True)
class ThreeViews:
    """An `Objective`: the clean image and two augmented copies, shifted and flipped alike, go through as one batch.

    Attributes:
        augmentation: Makes the copies.
        weight: Weight of the divergence.
    """

    augmentation: Augmentation
    weight: float = WEIGHT

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """Weight and augmentation."""
        return {"jensen_shannon": self.weight, **self.augmentation.resume_key}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the loss of one batch, a scalar; see `Objective`."""
        views = torch.cat([images, self.augmentation(images.repeat(2, 1, 1, 1), epoch, rng)])
        outputs = model(views.contiguous(memory_format=torch.channels_last)).chunk(3)
        return cross_entropy(outputs[0], labels) + self.weight * jensen_shannon(outputs)

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Computes the share of clean images that are classified correctly."""
        return count_correct(model, val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Returns no further metrics."""
        return {}
