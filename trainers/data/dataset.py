"""Labeled images in memory: a split, and a data set of three splits."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system.memory import allocate
from allweather.trainers.data.class_names import check_class_names, class_order
from allweather.trainers.data.inventory import Inventory

FROM_NUMPY = "; torch.from_numpy makes one of an array"


@dataclass(frozen=True)
class Split:
    """Labeled images of one size.

    Attributes:
        images: uint8 [n, h, w, 3], RGB. Height and width are those of the model's input.
        labels: int64 [n], 0..C-1.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        """Checks types and shapes, so that no other code has to guess what the values mean.

        Raises:
            DataError: The images or labels are of another type or shape.
        """
        for name, values in (("images", self.images), ("labels", self.labels)):
            if not isinstance(values, Tensor):
                raise DataError(f"the {name} of a split are a torch tensor; got {type(values).__name__}{FROM_NUMPY}")
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            came = f"{_type_name(self.images)} {list(self.images.shape)}"
            scale = "; multiply 0..1 by 255, round and convert" if self.images.dtype.is_floating_point else ""
            raise DataError(f"the images of a split are uint8 [n, h, w, 3], RGB, 0 to 255; got {came}{scale}")
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            came = f"{_type_name(self.labels)} {list(self.labels.shape)}"
            raise DataError(f"the labels of a split are int64 [n]; got {came}")
        if len(self.images) != len(self.labels):
            raise DataError(f"a split has a label for each image; got {len(self.images)} and {len(self.labels)}")

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
        inventory: What the data held when it was opened; None for data that was made in Python.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    hflip: bool
    notes: tuple[str, ...] = ()
    inventory: Inventory | None = None

    def __post_init__(self) -> None:
        """Checks that the splits fit together.

        Raises:
            DataError: The classes are no different texts; or a split is empty, has images of another size, or a label
                that is no index of a class.
        """
        check_class_names(self.classes)
        for name in ("train", "val", "test"):
            split: Split = getattr(self, name)
            if not isinstance(split, Split):
                raise DataError(f"{name} is a Split; got {type(split).__name__}")
            if not len(split):
                raise DataError(f"{name} has no images; every split needs some")
            if split.images.shape[1:] != self.train.images.shape[1:]:
                sides, others = list(split.images.shape[1:3]), list(self.train.images.shape[1:3])
                raise DataError(f"all images have one size; {name} has {sides} pixels, train {others}")
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.num_labels:
                raise DataError(f"labels are 0 to {self.num_labels - 1}; {name} has {low if low < 0 else high}")

    @property
    def num_labels(self) -> int:
        """How many different labels there can be."""
        return len(self.classes)

    def with_classes(self, classes: tuple[str, ...]) -> Dataset:
        """Returns the data set with its labels in the order of a classifier's classes, which are matched by name.

        Args:
            classes: Names of the classifier's classes, in the order of its outputs.

        Raises:
            UsageError: The data set has other classes; the message names those that only one of them has.
        """
        if classes == self.classes:
            return self
        order = torch.tensor(class_order(self.name, self.classes, classes))
        splits = {id(split): Split(split.images, order[split.labels]) for split in (self.train, self.val, self.test)}
        train, val, test = (splits[id(split)] for split in (self.train, self.val, self.test))
        return dataclasses.replace(self, classes=classes, train=train, val=val, test=test)

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


@dataclass(frozen=True)
class RowDataset(Dataset):
    """Images whose labels are rows of a table, in which an objective finds what it trains on."""

    @property
    def num_labels(self) -> int:
        """Labels are rows, of which there may be any number."""
        return 1 << 62


def _type_name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


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


def split_off_each_class(
    split: Split, share: float, seed: int, copies: Sequence[Sequence[int]] = ()
) -> tuple[Split, Split]:
    """Splits off a random share of the images of each class: at least one of two or more, none of a single one.

    Args:
        split: Images to divide.
        share: Share of each class to split off, 0..1.
        seed: Random seed; the same seed gives the same images.
        copies: Indices of images that show the same, group by group. The images of a group stay together; those of
            one that has several classes are not split off.

    Returns:
        (the other images, the images that were split off), each in the order of `split`.

    Raises:
        DataError: No class has two different images.
    """
    rng = torch.Generator().manual_seed(seed)
    group_of = {index: list(group) for group in copies for index in group}
    chosen = torch.zeros(len(split), dtype=torch.bool)
    for label in torch.unique(split.labels):
        of_class = (split.labels == label).nonzero()[:, 0]
        order = of_class[torch.randperm(len(of_class), generator=rng)].tolist()
        groups = {min(group): group for group in (group_of.get(index, [index]) for index in order)}.values()
        alike = [group for group in groups if bool((split.labels[group] == label).all())]
        chosen[_fill(alike, min(max(1, round(share * len(order))), len(order) - 1), len(order) - 1)] = True
    if not chosen.any():
        raise DataError(f"cannot hold out any of {len(split)} images, as no class has two that differ; add images")
    return split.take((~chosen).nonzero()[:, 0]), split.take(chosen.nonzero()[:, 0])


def _fill(groups: Sequence[Sequence[int]], wanted: int, most: int) -> list[int]:
    """Returns the first groups that fit into `wanted` numbers; if none does, the first that fits into `most`."""
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= wanted:
            taken += group
    return taken or list(next((group for group in groups if len(group) <= most), ()))
