"""Trains the augmentation network by influence functions, so that its images lower the validation loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork, TransformStage, code_dropout
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import all_reduced
from allweather.trainers.methods.learned_augmentation.estimators import BATCH_SIZE, MeanInfluence

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MAX_VAL_IMAGES = 2000  # images on which each epoch is evaluated
SEED = 53  # of the dropout in validation
# Smallest mean distance between two draws for one image, in units of the limits. Every pair of draws must reach it: a
# mean over all pairs could be reached by a network that returns one of only two results.
MIN_DISTANCE = 0.6
# Smallest variance between draws, in units of the squared limits, of every normalized linear combination of parameters.
MIN_VARIANCE = 0.3
DIVERSITY_WEIGHT = 4.0


class TwoDraws(nn.Module):
    """Augments images and computes the diversity loss between two draws of the dropout.

    Args:
        network: The augmentation network; it is trained.
    """

    def __init__(self, network: AugmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """float [n, 3, h, w] in 0..1 -> (augmented images of the same shape; the diversity loss, a scalar)."""
        losses = []
        for stage in self.network.parts:
            assert isinstance(stage, TransformStage)
            code = stage.encode(images)
            draws = [stage.decode(code_dropout(code, rng)) for _ in range(2)]
            relative = []  # parameters in units of their limits
            for draw in draws:
                parts = [
                    parameters[head] / limit
                    for head in stage.heads
                    for parameters, limit in zip((draw.weights, draw.biases), stage.limits(head), strict=True)
                ]
                relative.append(torch.cat([part.flatten(2) for part in parts], 1))
            losses.append(diversity_loss(relative[0], relative[1]))
            images = draws[0].apply(images)[1]
        return images, torch.stack(losses).mean()


def diversity_loss(one: Tensor, other: Tensor) -> Tensor:
    """Returns how far two draws for each image fall short of the required diversity.

    Without this loss, all draws for an image give the same result in the end; if only the mean distance of all pairs
    were required, they give one of two results. The paper has no such term.

    Args:
        one: float [n, k, g * g] in -1..1, the k parameters that G returns for each cell of its grid, in units of their
            limits.
        other: float [n, k, g * g], the same for another draw.

    Returns:
        A scalar, at least 0: the mean shortfall of a pair's distance from `MIN_DISTANCE`, plus the mean shortfall of
        the principal variances between draws, cell by cell, from `MIN_VARIANCE`.
    """
    change = (one - other).float()
    covariance = (change[:, :, None] * change[:, None]).mean(0) / 2  # a matrix product might run in bf16
    # if the run diverged, the first term is NaN
    variances = torch.linalg.eigvalsh(covariance.permute(2, 0, 1).nan_to_num())
    distance_loss = functional.relu(MIN_DISTANCE - change.abs().mean((1, 2))).mean()
    return distance_loss + functional.relu(MIN_VARIANCE - variances).mean()


@dataclass(frozen=True)
class InfluenceObjective:
    """Trains the network to make images of negative influence, which lower the validation loss.

    The loss is the hyperbolic tangent of the influence, in units of the standard deviation of the unchanged images'
    influences (the mean over classifiers, where there are several), plus the diversity loss. The influence itself has
    no lower bound and is lowest for images that nobody can recognize (docs/results/learned-augmentation.md). It is a
    derivative with respect to the weight of one sample, and so does not predict what happens when all samples are
    replaced, as they are here.

    Attributes:
        influence: Influence on the loss of the classifiers.
        origin: Text that identifies the classifiers, the validation images and the damping.
    """

    influence: MeanInfluence
    origin: str

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The stage of learning, and the origin of the estimators."""
        return {"stage": "influence", "origin": self.origin}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the mean bounded influence of a batch's augmented images plus the diversity loss."""
        augmented, diversity = model(images, rng)
        bounded = torch.tanh(self.influence(augmented, labels)).mean()
        loss: Tensor = bounded + DIVERSITY_WEIGHT * diversity
        return loss

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the share of images whose influence on the loss is lower when they are augmented."""
        return float((self._gains(model, val) > 0).float().mean())

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Computes "gain": how far augmentation lowers the influence, in units of the scales, as a mean over images."""
        return {"gain": float(all_reduced(fabric, self._gains(model, val).mean(), "mean"))}

    def _gains(self, model: nn.Module, val: LabeledImages) -> Tensor:
        assert isinstance(model.network, AugmentationNetwork)
        network = model.network.eval()
        rng: torch.Generator | None = None
        gains = []
        # spread over the whole split, because images of a folder are sorted by class
        indices = torch.linspace(0, len(val) - 1, min(MAX_VAL_IMAGES, len(val)), device=val.labels.device).long()
        with torch.no_grad():
            for batch in val.take(indices).batches(BATCH_SIZE):
                rng = rng or torch.Generator(batch.images.device).manual_seed(SEED)
                images = to_float(batch.images)
                before = self.influence(images, batch.labels)
                gains.append(before - self.influence(network(images, rng), batch.labels))
        return torch.cat(gains)
