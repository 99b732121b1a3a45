"""Labeled images in memory: a split, and a data set of three splits."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system.memory import allocate


@dataclass(frozen=True)
class Split:
    """Labeled images of one size.

    Attributes:
        images: uint8 [n, h, w, 3], RGB. Height and width are those of the model's input.
        labels: int64 [n], 0..C-1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        """Returns a copy of the images with these indices (int64 [m]), on disk if they are too many for memory."""
        if self.images.device.type != "cpu":
            return Split(self.images[indices], self.labels[indices])
        images = torch.from_numpy(allocate((len(indices), *self.images.shape[1:])))
        return Split(torch.index_select(self.images, 0, indices, out=images), self.labels[indices])

    def to(self, device: torch.device) -> Split:
        """Returns the same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of images of the same classes.

    Attributes:
        name: Name that it was opened by, such as "signs" or "cifar10".
        classes: Names of the classes, in the order of the labels.
        train: Images to train on.
        val: Images for every selection, such as that of an epoch or a policy; no training step uses them.
        test: Images to report results on; no selection uses them.
        hflip: Whether an image keeps its class when it is flipped horizontally (cars do, arrows do not).
        notes: What a user should know about how the splits were made, one line each.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    hflip: bool
    notes: tuple[str, ...] = ()

    def subset(self, fraction: float, seed: int) -> Dataset:
        """Returns the data set with a random share of the training images of each class; val and test stay.

        Args:
            fraction: Share to keep, above 0 and at most 1. At least one image of each class is kept.
            seed: Random seed; the same seed gives the same images.

        Raises:
            UsageError: The fraction is out of range.
        """
        check_fraction(fraction)
        if fraction == 1:
            return self
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        kept = []
        for label in range(len(self.classes)):
            of_class = order[self.train.labels[order] == label]
            kept.append(of_class[: max(1, round(fraction * len(of_class)))])
        train = self.train.take(torch.cat(kept).sort().values)
        note = f"{self.name}: {len(train)} of {len(self.train)} training images are used"
        return dataclasses.replace(self, train=train, notes=(*self.notes, note))

    def with_label_noise(self, share: float, seed: int) -> Dataset:
        """Returns the data set with a share of the training labels replaced by random ones.

        A random label may be the correct one.

        Args:
            share: Share of the labels to replace, 0..1.
            seed: Random seed; the same seed gives the same labels.

        Raises:
            UsageError: The share is out of range.
        """
        check_label_noise(share)
        if share == 0:
            return self
        rng = torch.Generator().manual_seed(seed)
        replaced = torch.randperm(len(self.train), generator=rng)[: round(share * len(self.train))]
        labels = self.train.labels.clone()
        labels[replaced] = torch.randint(len(self.classes), (len(replaced),), generator=rng)
        note = f"{self.name}: {len(replaced)} of {len(labels)} training labels are random"
        return dataclasses.replace(self, train=Split(self.train.images, labels), notes=(*self.notes, note))

    def fingerprint(self) -> str:
        """Returns a short hash of the training labels and some pixels, which distinguishes data sets of one name."""
        digest = hashlib.sha256(self.train.labels.numpy().tobytes())
        some = torch.linspace(0, len(self.train) - 1, min(256, len(self.train))).long()
        digest.update(self.train.images[some].numpy().tobytes())
        return digest.hexdigest()[:16]


def check_fraction(fraction: float) -> None:
    """Checks the share of training images that `Dataset.subset` keeps; needs no data.

    Raises:
        UsageError: It is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"the fraction of training images must be above 0 and at most 1; got {fraction:g}")


def check_label_noise(share: float) -> None:
    """Checks the share of labels that `Dataset.with_label_noise` replaces; needs no data.

    Raises:
        UsageError: It is not in 0..1.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"the share of training labels to replace must be 0 to 1; got {share:g}")


def split_off(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Splits off `count` random images.

    Args:
        split: Images to divide.
        count: Number of images to split off, at least 1 and fewer than the split has.
        seed: Random seed; the same seed gives the same images.

    Returns:
        (the other images, the images that were split off), each in the order of `split`.

    Raises:
        DataError: `split` has too few images.
    """
    if not 0 < count < len(split):
        raise DataError(f"cannot hold out {count} of {len(split)} images; add images")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.take(order[count:].sort().values), split.take(order[:count].sort().values)
