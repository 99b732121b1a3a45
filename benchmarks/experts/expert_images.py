"""The images that experts are made of, chosen on and tested on: a cell is a corruption at a severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from expert_models import Rows

from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import LabeledImages

NAMES = (*CORRUPTIONS,)  # the 15 common ones first
CLEAN = -1
HALVES = ((1, 2, 3, 4, 5), (1, 2, 3), (4, 5))  # severities of a set of statistics: all, the low, the high ones
COMMON_CELLS = tuple((name, severity) for name in COMMON for severity in SEVERITIES)
GROUPS = ("clean", "common", "extra", "own")  # of test images: clean, the reference set, our corruptions of others
OWN = GROUPS.index("own")


@dataclass(frozen=True)
class CellImages:
    """Images in cells.

    Attributes:
        images: uint8 [n, h, w, 3].
        labels: int64 [n].
        corruption: int64 [n], index in `NAMES`, -1 for clean images.
        severity: int64 [n], 1 to 5, 0 for clean images.
        group: int64 [n], index in `GROUPS`.
        source: int64 [n], the image before corruption.
    """

    images: Image
    labels: Rows
    corruption: Rows
    severity: Rows
    group: Rows
    source: Rows

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def half(self) -> Rows:
        """Half of the severities, int64 [n]: 1 for severities 1 to 3, 2 for 4 and 5, 0 for clean images."""
        return np.where(self.severity > max(HALVES[1]), 2, np.minimum(self.severity, 1))

    @property
    def kinds(self) -> Rows:
        """Corruption and half of the severities as one number, int64 [n]; -3 for clean images."""
        return self.corruption * len(HALVES) + self.half

    def take(self, rows: Rows) -> CellImages:
        """Returns some images, given their rows (int64 [m])."""
        return CellImages(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def joined(parts: Sequence[CellImages]) -> CellImages:
    """Returns the images of all parts."""
    fields = CellImages.__dataclass_fields__
    return CellImages(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def clean_images(split: LabeledImages) -> CellImages:
    """Returns the images of a split as they are."""
    loaded = split.loaded()
    count = np.zeros(len(loaded), np.int64)
    return CellImages(loaded.images.numpy(), loaded.labels.numpy(), count + CLEAN, count, count, np.arange(len(count)))


def corrupted_images(clean: CellImages, cells: Sequence[tuple[str, int]], seed: int) -> CellImages:
    """Returns each image in one of these cells; all cells get the same number of images, within one."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(clean)) % len(cells)
    images = clean.images.copy()
    for index, (name, each) in enumerate(cells):
        if (rows := np.flatnonzero(chosen == index)).size:
            images[rows] = corrupt_images(clean.images[rows], name, each, rng)
    corruption, severities = (
        np.array(each)[chosen] for each in zip(*((NAMES.index(n), s) for n, s in cells), strict=True)
    )
    return CellImages(images, clean.labels, corruption, severities, np.full(len(clean), OWN), clean.source)


def test_images(start: Checkpoint, dataset: Dataset, folder: Path, own: int, count: int) -> CellImages:
    """Returns all test images: clean ones, the corrupted set in a folder, and `own` others in cells of our corruptions.

    Args:
        start: The classifier.
        dataset: Its data.
        folder: Folder of the corrupted set.
        own: Number of test images that are corrupted here, by the common 15.
        count: Largest number of images of each cell of the set and tenth of that of clean images, for trials.
    """
    clean, found = clean_images(dataset.test), open_corrupted_set(folder, start.classes, start.input)
    parts = [clean.take(np.arange(min(len(clean), 10 * count)))]
    for name in found.corruptions:
        for severity in SEVERITIES:
            images = np.concatenate([*found.batches(name, severity, 500)])[:count]
            full = np.zeros(len(images), np.int64)
            group, corruption = GROUPS.index("common" if name in COMMON else "extra"), NAMES.index(name)
            labels, rows = found.labels[: len(images)], np.arange(len(images))
            parts.append(CellImages(images, labels, full + corruption, full + severity, full + group, rows))
    taken = np.random.default_rng(1).permutation(len(clean))[: min(own, 10 * count)]
    return joined([*parts, corrupted_images(clean.take(taken), COMMON_CELLS, 2)])
