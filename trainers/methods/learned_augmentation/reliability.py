"""Measures how much of the influence is signal: whether two halves of the held-out images prefer the same warps.

The gradient of the validation loss is a mean over the held-out images, and with few of them it is mostly chance. What
is learned from it is which of several augmented versions of one image is better, so that is what has to agree between
two halves of these images (split-half correlation; Spearman 1910, Brown 1910).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.methods.learned_augmentation.influence_objective import BATCH_SIZE

Influence = Callable[[Tensor, Tensor], Tensor]

NUM_IMAGES, NUM_WARPS = 400, 8  # the correlation is over all warps of all these images
MIN_CORRELATION = 0.5  # below it, more than half of what the halves say is chance


@dataclass(frozen=True)
class Reliability:
    """How reliable the influence is as a guide.

    Attributes:
        split_half_correlation: Correlation of the influences on two halves of the held-out images, each less its mean
            over the augmented versions of its image; 1 without chance, 0 if all is chance.
        held_out_images: Number of held-out images, of both halves together.
    """

    split_half_correlation: float
    held_out_images: int

    @property
    def mostly_chance(self) -> bool:
        """Whether the correlation is below `MIN_CORRELATION`."""
        return not self.split_half_correlation >= MIN_CORRELATION

    @property
    def images_needed(self) -> int | None:
        """How many held-out images would give the correlation `MIN_CORRELATION`; None if that cannot be told.

        The formula of Spearman and Brown, by which the ratio of signal to chance grows with the number of images.
        """
        correlation = self.split_half_correlation
        if not 0 < correlation < 1:
            return None
        odds = MIN_CORRELATION / (1 - MIN_CORRELATION)
        return round(self.held_out_images * odds * (1 - correlation) / correlation)


def random_halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns the indices of two random halves, int64 [count // 2] and [count - count // 2]."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2].sort().values, order[count // 2 :].sort().values


def split_half_correlation(
    network: AugmentationNetwork, train: LabeledImages, halves: tuple[Influence, Influence], seed: int
) -> float:
    """Returns the correlation of the influences on two halves of the held-out images.

    For some training images, several random augmented versions each, the influences on both halves are computed. Each
    influence is taken less its mean over the versions of its image, and correlated over all versions of all images.

    Args:
        network: The augmentation network as it starts, in eval mode, on the device of the classifiers.
        train: The training images of the classifiers, of which each can be read.
        halves: Influence on the loss of the one half, and of the other, as of `MeanInfluence`; the classifiers are the
            same.
        seed: Random seed of the versions.

    Returns:
        -1..1; 0 if the influences of one half do not differ.
    """
    device = next(network.parameters()).device
    rng = torch.Generator(device).manual_seed(seed)
    # spread over the whole split, because images of a folder are sorted by class
    indices = torch.linspace(0, len(train) - 1, min(NUM_IMAGES, len(train)), device=train.labels.device).long()
    centered: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.no_grad():
        for batch in train.take(indices).batches(BATCH_SIZE):
            images, labels = to_float(batch.images.to(device)), batch.labels.to(device)
            versions = [network(images, rng) for _ in range(NUM_WARPS)]
            for influence, values in zip(halves, centered, strict=True):
                of_versions = torch.stack([influence(version, labels) for version in versions]).double()
                values.append((of_versions - of_versions.mean(0)).flatten())
    one, other = (torch.cat(values) for values in centered)
    scale = float(one.norm() * other.norm())
    return float(one @ other) / scale if scale > 0 else 0.0
