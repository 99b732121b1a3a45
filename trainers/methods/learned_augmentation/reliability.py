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
from torch.nn import functional

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.methods.learned_augmentation.estimators import BATCH_SIZE

NUM_IMAGES, NUM_WARPS = 400, 8  # the correlation is over all warps of all these images
HALVINGS = 5  # the correlation by one halving can be off by 0.1 (docs/results/learned-augmentation.md)
MIN_CORRELATION = 0.5  # below it, more than half of what the halves say is chance


@dataclass(frozen=True)
class Reliability:
    """How reliable the influence is as a guide.

    Attributes:
        split_half_correlation: Correlation of the influences on two halves of the held-out images, each less its mean
            over the augmented versions of its image; 1 without chance, 0 if all is chance. A mean over several ways to
            halve them.
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


def random_halves(count: int, seed: int, halvings: int = HALVINGS) -> list[Tensor]:
    """Returns the indices of two random halves for each halving, int64 [count // 2] and [count - count // 2]."""
    rng, halves = torch.Generator().manual_seed(seed), []
    for _ in range(halvings):
        order = torch.randperm(count, generator=rng)
        halves += [order[: count // 2], order[count // 2 :]]
    return halves


def split_half_correlation(
    network: AugmentationNetwork, train: LabeledImages, influences: Callable[[Tensor, Tensor], Tensor], seed: int
) -> float:
    """Returns the correlation of the influences on two halves of the held-out images, as a mean over halvings.

    For some training images, several random augmented versions each, the influences on all halves are computed. Each
    influence is taken less its mean over the versions of its image, and correlated over all versions of all images.

    Args:
        network: The augmentation network as it starts, in eval mode, on the device of the classifiers.
        train: The training images of the classifiers, of which each can be read.
        influences: (images, labels) -> the influence of each image on each half, float [2 * halvings, n], in the order
            of `random_halves`; see `influences_on_parts`.
        seed: Random seed of the versions.

    Returns:
        -1..1; a halving counts as 0 if the influences on a half do not differ.
    """
    device = next(network.parameters()).device
    rng = torch.Generator(device).manual_seed(seed)
    # spread over the whole split, because images of a folder are sorted by class
    indices = torch.linspace(0, len(train) - 1, min(NUM_IMAGES, len(train)), device=train.labels.device).long()
    centered = []
    with torch.no_grad():
        for batch in train.take(indices).batches(BATCH_SIZE):
            images, labels = to_float(batch.images.to(device)), batch.labels.to(device)
            versions = torch.stack([influences(network(images, rng), labels) for _ in range(NUM_WARPS)]).double()
            centered.append((versions - versions.mean(0)).movedim(0, 1).flatten(1))
    of_halves = functional.normalize(torch.cat(centered, 1), dim=1, eps=1e-30)
    return float((of_halves[::2] * of_halves[1::2]).sum(1).mean())
