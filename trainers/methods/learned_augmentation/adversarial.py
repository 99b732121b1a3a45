"""The augmentation network's first lesson: to augment as plain augmentation does, as a generative adversarial network.

Relativistic average GAN (Jolicoeur-Martineau 2018, section 4): a judge says how much more real a picture looks than the
average of the other kind. Real are the pictures as plain augmentation leaves them, so that leaving a picture as it is
does not win (Lee et al., section 4.3). One judge sees pictures, one the classifier's features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from allweather.trainers.augmentations.learned.networks import LEAKY_SLOPE, AugmentationNetwork
from allweather.trainers.augmentations.variants import random_color_jitter
from allweather.trainers.data.dataset import Split

Features = Callable[[Tensor], Tensor]


class GanModel(nn.Module):
    """The augmentation network and its two judges, who learn at the same time.

    Args:
        augmenter: it is trained.
        features: length of the classifier's features.
    """

    def __init__(self, augmenter: AugmentationNetwork, features: int) -> None:
        super().__init__()
        self.augmenter = augmenter
        self.judges = nn.ModuleList([_picture_judge(), nn.Linear(features, 1)])

    def forward(self, images: Tensor, real: Tensor, features: Features, rng: torch.Generator) -> Tensor:
        """The sum of both sides' losses; each side's gradient is that of its own.

        Args:
            images: float [n, 3, h, w] in 0..1, to augment.
            real: the same shape, augmented plainly.
            features: the frozen classifier's, float [n, 3, h, w] -> [n, features].
            rng: on the device of the images.
        """
        made = self.augmenter(images, rng)
        with torch.no_grad():
            real_features = features(real)
        loss: Tensor = made.new_zeros(())
        for judge, true, false in zip(self.judges, (real, real_features), (made, features(made)), strict=True):
            loss = loss + relativistic(judge(true), judge(false.detach()))
            frozen = {name: value.detach() for name, value in judge.named_parameters()}
            loss = loss + relativistic(
                functional_call(judge, frozen, (false,)), functional_call(judge, frozen, (true,))
            )
        return loss


def relativistic(right: Tensor, wrong: Tensor) -> Tensor:
    """What a side of the contest makes small: the right ones are to look more real than the wrong ones on average.

    Args:
        right: float [n, 1], a judge's answers.
        wrong: likewise.
    """
    return (functional.softplus(wrong.mean() - right).mean() + functional.softplus(wrong - right.mean()).mean()) / 2


@dataclass(frozen=True)
class AdversarialObjective:
    """The contest as an objective of the training loop; of each picture one copy is augmented, another is real.

    Attributes:
        features: the frozen classifier's, float [n, 3, h, w] -> [n, features].
        classifier: digest of it.
    """

    features: Features
    classifier: str

    shifted = (False, True)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The stage and the classifier."""
        return {"stage": "mimicry", "classifier": self.classifier}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Both sides' losses of a batch."""
        mine, real = images.chunk(2)
        loss: Tensor = model(mine, random_color_jitter(real, rng), self.features, rng)
        return loss

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Nothing here is an accuracy."""
        return 0.0

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Nothing else."""
        return {}


def _picture_judge() -> nn.Module:
    widths: Sequence[int] = (3, 32, 64, 128)
    blocks: list[nn.Module] = []
    for taken, given in pairwise(widths):
        blocks += [nn.Conv2d(taken, given, 4, 2, 1), nn.LeakyReLU(LEAKY_SLOPE)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1))
