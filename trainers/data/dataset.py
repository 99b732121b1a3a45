"""A data set of three splits, in memory or streamed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import is_number, is_whole
from allweather.trainers.data.class_names import check_class_names, class_order
from allweather.trainers.data.held_out import complete_splits
from allweather.trainers.data.image_size import ImageSize, check_size
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.data.items.read_splits import read_splits
from allweather.trainers.data.split import LabeledImages as LabeledImages
from allweather.trainers.data.split import Split as Split  # other modules take them from here, with the data set
from allweather.trainers.data.split import drawn_indices

FINGERPRINT_IMAGES = 64  # few, as streamed ones are read for it


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of images of the same classes, in memory (`Split`) or streamed (`StreamedSplit`).

    Attributes:
        name: Name that it was opened by, such as "signs" or "cifar10".
        classes: Names of the classes, in the order of the labels.
        train: Images to train on.
        val: Images for every selection, such as that of an epoch or a policy; no training step uses them.
        test: Images to report results on; no selection uses them.
        hflip: Whether an image keeps its class when it is flipped horizontally (cars do, arrows do not).
        notes: What a user should know about how the splits were made, one line each.
        inventory: What the data held when it was opened; None for data that was made in Python.
        crop: How images of other sizes were brought to that of the data.
    """

    name: str
    classes: tuple[str, ...]
    train: LabeledImages
    val: LabeledImages
    test: LabeledImages
    hflip: bool
    notes: tuple[str, ...] = ()
    inventory: Inventory | None = field(default=None, repr=False)
    crop: Crop = WHOLE

    def __post_init__(self) -> None:
        """Checks that the splits fit together.

        Raises:
            DataError: The classes are no different texts; or a split is empty, has images of another size, or a label
                that is no index of a class.
        """
        check_class_names(self.classes)
        for name in ("train", "val", "test"):
            split: LabeledImages = getattr(self, name)
            if not isinstance(split, LabeledImages):
                raise DataError(f"{name} is a Split; got {type(split).__name__}")
            if not len(split):
                raise DataError(f"{name} has no images; every split needs some")
            if split.size != self.train.size:
                sides, others = list(split.size), list(self.train.size)
                raise DataError(f"all images have one size; {name} has {sides} pixels, train {others}")
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.num_labels:
                raise DataError(f"labels are 0 to {self.num_labels - 1}; {name} has {low if low < 0 else high}")

    @classmethod
    def from_torch(
        cls,
        train: Any,
        val: Any = None,
        test: Any = None,
        *,
        classes: Sequence[str] | None = None,
        size: ImageSize = 224,
        crop: Crop = WHOLE,
        hflip: bool = True,
        name: str = "torch",
        seed: int = 0,
    ) -> Dataset:
        """Reads data sets of torch, torchvision or the datasets library; brings all images to one size.

        An item is (image, label). The image is a PIL image, an array or a tensor: [h, w], [h, w, c] or [c, h, w];
        uint8, uint16 or float in 0..1, neither normalized nor augmented, as training does both. A data set of the
        datasets library has a column of images and one of class labels, and a `DatasetDict` given as `train` brings its
        validation and test splits along. Splits that are missing are held out of train, a tenth of each class.

        Args:
            train: Data set with a length and items by index.
            val: Another one, or None.
            test: Another one, or None.
            classes: Names of the classes, in the order of the labels; None for those that `train` tells.
            size: Side in pixels of the square that every image is brought to, 16 to 1024; or (height, width).
            crop: Which part of an image of another size is taken, and how it is resized.
            hflip: Whether an image keeps its class when it is flipped horizontally.
            name: Name of the data set, for messages and reports.
            seed: Random seed of the splits that are held out; the same seed gives the same splits.

        Raises:
            UsageError: The size or the seed is out of range, `crop` is no Crop, `hflip` is not True or False, or
                `name` no text.
            DataError: An item cannot be used; the message names it.
        """
        spec = InputSpec(*check_size(size, "size"), crop=crop)
        if not is_whole(seed) or seed < 0:
            raise UsageError(f"seed is a whole number, 0 or more; got {seed!r:.40}")
        if not isinstance(hflip, bool):
            raise UsageError(f"hflip is True or False; got {hflip!r:.40}")
        if not isinstance(name, str) or not name:
            raise UsageError(f"name is a text; got {name!r:.40}")
        read = read_splits(name, train, val, test, classes, spec)
        train, val, test, notes = complete_splits(
            read.splits, read.classes, lambda split: f"there is no {split} split", seed=int(seed), copies=read.copies
        )
        inventory = dataclasses.replace(read.inventory, notes=(*read.inventory.notes, *notes))
        return Dataset(name, read.classes, train, val, test, hflip, inventory.notes, inventory, crop)

    @property
    def input(self) -> InputSpec:
        """Size of the images and how they were cropped, with ImageNet's mean and std."""
        return InputSpec(*self.train.size, crop=self.crop)

    @property
    def form(self) -> str:
        """How the images are held, as one line."""
        count, (height, width) = (
            len(self.train) + len(self.val) + (0 if self.test is self.val else len(self.test)),
            self.train.size,
        )
        if isinstance(self.train, Split):
            return f"{count} images of {height} x {width} px are in memory ({_bytes_text(count * height * width * 3)})"
        return f"{count} images are read when they are needed and brought to {height} x {width} px"

    @property
    def num_labels(self) -> int:
        """How many different labels there can be."""
        return len(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Dataset:
        """Returns the data set with its labels in the order of a classifier's classes, which are matched by name.

        Args:
            classes: Names of the classifier's classes, in the order of its outputs.

        Raises:
            UsageError: The data set has other classes; the message names those that only one of them has.
            DataError: The class names are no different texts.
        """
        classes = tuple(classes) if isinstance(classes, list) else classes
        check_class_names(classes)
        assert isinstance(classes, tuple)
        if classes == self.classes:
            return self
        order = torch.tensor(class_order(self.name, self.classes, classes))
        splits = {id(split): split.with_labels(order[split.labels]) for split in (self.train, self.val, self.test)}
        train, val, test = (splits[id(split)] for split in (self.train, self.val, self.test))
        return dataclasses.replace(self, classes=classes, train=train, val=val, test=test)

    def subset(self, fraction: float, seed: int) -> Dataset:
        """Returns the data set with a random share of the training images of each class; val and test stay.

        Args:
            fraction: Share to keep, above 0 and at most 1. At least one image of each class is kept.
            seed: Random seed; the same seed gives the same images.

        Raises:
            UsageError: The fraction or the seed is out of range.
        """
        check_fraction(fraction)
        _check_seed(seed)
        if fraction == 1:
            return self
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(int(seed)))
        kept = []
        for label in range(len(self.classes)):
            of_class = order[self.train.labels[order] == label]
            kept.append(of_class[: max(1, round(fraction * len(of_class)))])
        train = self.train.take(torch.cat(kept).sort().values)
        note = f"{self.name}: {len(train)} of {len(self.train)} training images are used"
        return dataclasses.replace(self, train=train, notes=(*self.notes, note))

    def with_test_images(self, count: int, seed: int = 0) -> Dataset:
        """Returns the data set with at most this number of test images, drawn at random; train and val stay.

        Test images that cannot be read are left out, so that each pass over the others gives the same rows.

        Args:
            count: Number of test images to keep, at least 1.
            seed: Random seed; the same seed gives the same images.

        Raises:
            UsageError: The number is no whole number or below 1, or the seed out of range.
        """
        if not is_whole(count) or count < 1:
            raise UsageError(f"the number of test images is a whole number, at least 1; got {count!r:.40}")
        _check_seed(seed)
        if count >= len(self.test):
            return dataclasses.replace(self, test=self.test.readable())
        test = self.test.take(drawn_indices(len(self.test), int(count), int(seed))).readable()
        note = f"{self.name}: a part of the test images, {len(test)} of {len(self.test)}, drawn with seed {seed}"
        return dataclasses.replace(self, test=test, notes=(*self.notes, note))

    def with_label_noise(self, share: float, seed: int) -> Dataset:
        """Returns the data set with a share of the training labels replaced by random ones.

        A random label may be the correct one.

        Args:
            share: Share of the labels to replace, 0..1.
            seed: Random seed; the same seed gives the same labels.

        Raises:
            UsageError: The share or the seed is out of range.
        """
        check_label_noise(share)
        _check_seed(seed)
        if share == 0:
            return self
        rng = torch.Generator().manual_seed(int(seed))
        replaced = torch.randperm(len(self.train), generator=rng)[: round(share * len(self.train))]
        labels = self.train.labels.clone()
        labels[replaced] = torch.randint(len(self.classes), (len(replaced),), generator=rng)
        note = f"{self.name}: {len(replaced)} of {len(labels)} training labels are random"
        return dataclasses.replace(self, train=self.train.with_labels(labels), notes=(*self.notes, note))

    def fingerprint(self) -> str:
        """Returns a short hash of the labels and some pixels of train and val: it tells data sets of one name apart.

        Val is part of it because epochs, strengths and temperatures are chosen on it.
        """
        digest = hashlib.sha256()
        for split in (self.train, self.val):
            digest.update(split.labels.cpu().numpy().tobytes())
            some = torch.linspace(0, len(split) - 1, min(FINGERPRINT_IMAGES, len(split))).long()
            digest.update(split.take(some).loaded().images.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def readable(self) -> Dataset:
        """Returns the data set without the images of val and test that cannot be read; see `LabeledImages.readable`.

        What is measured on them has a row for each. Of train, images are left out when they are met.
        """
        val = self.val.readable()
        test = val if self.test is self.val else self.test.readable()
        notes = [
            f"{name}: {before - len(after)} of {before} images could not be read and are left out"
            for name, before, after in (("val", len(self.val), val), ("test", len(self.test), test))
            if len(after) < before and not (name == "test" and self.test is self.val)
        ]
        return dataclasses.replace(self, val=val, test=test, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class RowDataset(Dataset):
    """Images whose labels are rows of a table, in which an objective finds what it trains on."""

    @property
    def num_labels(self) -> int:
        """Labels are rows, of which there may be any number."""
        return 1 << 62


def _bytes_text(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def check_fraction(fraction: float) -> None:
    """Checks the share of training images that `Dataset.subset` keeps; needs no data.

    Raises:
        UsageError: It is not above 0 and at most 1.
    """
    if not is_number(fraction) or not 0 < fraction <= 1:
        raise UsageError(f"the fraction of training images must be above 0 and at most 1; got {fraction!r:.40}")


def check_label_noise(share: float) -> None:
    """Checks the share of labels that `Dataset.with_label_noise` replaces; needs no data.

    Raises:
        UsageError: It is not in 0..1.
    """
    if not is_number(share) or not 0 <= share <= 1:
        raise UsageError(f"the share of training labels to replace must be 0 to 1; got {share!r:.40}")


def _check_seed(seed: int) -> None:
    if not is_whole(seed) or not 0 <= seed < 2**31:
        raise UsageError(f"seed is a whole number from 0 to 2^31 - 1; got {seed!r:.40}")
