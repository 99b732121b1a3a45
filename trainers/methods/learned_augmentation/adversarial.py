"""Adversarial pre-training: as the generator of a GAN, the network learns to augment as the baseline augmentation does.

The loss is that of the relativistic average GAN (Jolicoeur-Martineau 2018, section 4): a discriminator says how much
more real an image looks than the average image of the other kind. Real images are those that the baseline augmentation
(random shifts, flips and color jitter) has changed, so that leaving an image unchanged is not the best solution (Lee et
al., section 4.3). One discriminator takes images, the other the classifier's features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from allweather.trainers.augmentations.learned.networks import LEAKY_SLOPE, AugmentationNetwork
from allweather.trainers.augmentations.variants import random_color_jitter
from allweather.trainers.data.dataset import LabeledImages

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Features = Callable[[Tensor], Tensor]


class GanModel(nn.Module):
    """The augmentation network and its two discriminators, which are trained at the same time.

    Args:
        network: The augmentation network; it is trained.
        num_features: Length of the classifier's feature vector.
    """

    def __init__(self, network: AugmentationNetwork, num_features: int) -> None:
        super().__init__()
        self.network = network
        self.discriminators = nn.ModuleList([_image_discriminator(), nn.Linear(num_features, 1)])

    def forward(self, images: Tensor, real: Tensor, features: Features, rng: torch.Generator) -> Tensor:
        """Returns the sum of all losses; each network gets the gradient of its own loss alone.

        Args:
            images: float [n, 3, h, w] in 0..1, to augment.
            real: float [n, 3, h, w] in 0..1, changed by the baseline augmentation.
            features: The frozen classifier's features, float [n, 3, h, w] -> [n, num_features].
            rng: Random generator on the device of the images.
        """
        augmented = self.network(images, rng)
        with torch.no_grad():
            real_features = features(real)
        loss: Tensor = augmented.new_zeros(())
        real_inputs, fake_inputs = (real, real_features), (augmented, features(augmented))
        for discriminator, true, fake in zip(self.discriminators, real_inputs, fake_inputs, strict=True):
            loss = loss + relativistic_loss(discriminator(true), discriminator(fake.detach()))
            frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
            loss = loss + relativistic_loss(
                functional_call(discriminator, frozen, (fake,)), functional_call(discriminator, frozen, (true,))
            )
        return loss


def relativistic_loss(higher: Tensor, lower: Tensor) -> Tensor:
    """Returns the loss of one side of the relativistic average GAN.

    Args:
        higher: float [n, 1], the discriminator's outputs that this side wants above the average of `lower`: those for
            real images for the discriminator, those for augmented images for the augmentation network.
        lower: float [n, 1], the discriminator's outputs that this side wants below the average of `higher`.
    """
    return (functional.softplus(lower.mean() - higher).mean() + functional.softplus(lower - higher.mean()).mean()) / 2


@dataclass(frozen=True)
class AdversarialObjective:
    """The losses of the GAN as an objective of the training loop.

    Each image has two copies: the network augments the first; the second, after the baseline augmentation, is real.

    Attributes:
        features: The frozen classifier's features, float [n, 3, h, w] -> [n, num_features].
        classifier_digest: Digest of the classifier's weights.
    """

    features: Features
    classifier_digest: str

    shifted = (False, True)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The stage of learning, and the classifier."""
        return {"stage": "gan", "classifier_digest": self.classifier_digest}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the losses of the augmentation network and the discriminators for one batch; see `Objective`."""
        to_augment, real = images.chunk(2)
        loss: Tensor = model(to_augment, random_color_jitter(real, rng), self.features, rng)
        return loss

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Returns 0, because this stage has no accuracy."""
        return 0.0

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Returns no further metrics."""
        return {}


def _image_discriminator() -> nn.Module:
    channels: Sequence[int] = (3, 32, 64, 128)
    blocks: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        blocks += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(LEAKY_SLOPE)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 1))
