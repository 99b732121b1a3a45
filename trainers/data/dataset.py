"""Labelled pictures in memory: the split, and the data set of three of them."""

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
    """Labelled pictures.

    Attributes:
        images: uint8 [n, h, w, 3], RGB. Height and width are the network's.
        labels: int64 [n], 0..C-1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> Split:
        """The pictures of those numbers (int64 [m]), copied; on disk where they are too many for memory."""
        if self.images.device.type != "cpu":
            return Split(self.images[index], self.labels[index])
        images = torch.from_numpy(allocate((len(index), *self.images.shape[1:])))
        return Split(torch.index_select(self.images, 0, index, out=images), self.labels[index])

    def to(self, device: torch.device) -> Split:
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of one set of classes.

    Attributes:
        name: what was asked for, such as "signs" or "cifar10".
        classes: names, in the order of the labels.
        train: to learn from.
        val: to choose by; never seen in a training step.
        test: to report; never used to choose.
        mirrors: whether a mirrored picture keeps its class (cars do, arrows do not).
        notes: what a user should know about how the splits were made, one line each.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    hflip: bool
    notes: tuple[str, ...] = ()

    def subset(self, fraction: float, seed: int) -> Dataset:
        """The same with a share of the training pictures, drawn at random class by class; val and test stay.

        Args:
            fraction: above 0, at most 1; of each class at least one picture is kept.
            seed: of the draw.

        Raises:
            UsageError: the fraction is none.
        """
        if not 0 < fraction <= 1:
            raise UsageError(f"the fraction of training pictures is above 0 and at most 1; got {fraction:g}")
        if fraction == 1:
            return self
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        kept = []
        for label in range(len(self.classes)):
            of_class = order[self.train.labels[order] == label]
            kept.append(of_class[: max(1, round(fraction * len(of_class)))])
        train = self.train.take(torch.cat(kept).sort().values)
        note = f"{self.name}: {len(train)} of {len(self.train)} training pictures are used"
        return dataclasses.replace(self, train=train, notes=(*self.notes, note))

    def with_label_noise(self, share: float, seed: int) -> Dataset:
        """The same with a share of the training labels replaced by random ones, right ones among them.

        Args:
            share: 0 to 1.
            seed: of the draw.

        Raises:
            UsageError: the share is none.
        """
        if not 0 <= share <= 1:
            raise UsageError(f"the share of labels to replace is 0 to 1; got {share:g}")
        if share == 0:
            return self
        rng = torch.Generator().manual_seed(seed)
        replaced = torch.randperm(len(self.train), generator=rng)[: round(share * len(self.train))]
        labels = self.train.labels.clone()
        labels[replaced] = torch.randint(len(self.classes), (len(replaced),), generator=rng)
        note = f"{self.name}: {len(replaced)} of {len(labels)} training labels are random"
        return dataclasses.replace(self, train=Split(self.train.images, labels), notes=(*self.notes, note))

    def fingerprint(self) -> str:
        """Short hash of the training labels and some pixels: tells two data sets of one name apart."""
        digest = hashlib.sha256(self.train.labels.numpy().tobytes())
        some = torch.linspace(0, len(self.train) - 1, min(256, len(self.train))).long()
        digest.update(self.train.images[some].numpy().tobytes())
        return digest.hexdigest()[:16]


def split_off(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Splits off `count` pictures at random, the same ones for the same seed.

    Returns:
        (what remains, what was split off), each in the order of `split`.

    Raises:
        DataError: `split` has too few pictures.
    """
    if not 0 < count < len(split):
        raise DataError(f"cannot hold out {count} of {len(split)} pictures; add pictures")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.take(order[count:].sort().values), split.take(order[:count].sort().values)
