"""A part of a corrupted set: some of its corruptions, and some of the images of each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import get_corruption
from allweather.trainers.corruptions.sets.base import CorruptedSet, Labels


@dataclass(frozen=True)
class PartOfSet:
    """Some of the corruptions and images of another set; the same images in every cell.

    Attributes:
        whole: The other set.
        corruptions: Names of the corruptions, all of them in that set.
        indices: Indices of the images in each cell of that set, in rising order.
    """

    whole: CorruptedSet
    corruptions: tuple[str, ...]
    indices: tuple[int, ...]

    @property
    def source(self) -> str:
        """Where the other set comes from."""
        return self.whole.source

    @property
    def data(self) -> str:
        """Name of the clean data set that the other set was made from."""
        return self.whole.data

    @property
    def labels(self) -> Labels:
        """Labels of the images, int64 [n]."""
        return self.whole.labels[list(self.indices)]

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Yields the images of one cell in batches; see `CorruptedSet`."""
        if len(self.indices) == len(self.whole.labels):
            yield from self.whole.batches(name, severity, batch_size)
            return
        for first in range(0, len(self.indices), batch_size):
            rows = self.indices[first : first + batch_size]
            yield np.stack([self.whole.image(name, severity, row) for row in rows])

    def image(self, name: str, severity: int, index: int) -> Image:
        """Returns one image of one cell, uint8 [h, w, 3]."""
        return self.whole.image(name, severity, self.indices[index])


def part_of_set(
    whole: CorruptedSet, corruptions: Sequence[str] = (), count: int | None = None, seed: int = 0
) -> CorruptedSet:
    """Returns a part of a corrupted set, or the set itself if nothing of it is left out.

    Args:
        whole: The set.
        corruptions: Names of the corruptions to keep; all if empty.
        count: Number of images of each cell to keep, drawn at random; all if None, or more than there are.
        seed: Random seed; the same seed gives the same images, and of a set of test images those that
            `Dataset.with_test_images` draws.

    Raises:
        UsageError: A name is that of no corruption, or of one that the set does not have.
    """
    from allweather.trainers.data.split import drawn_indices  # it brings torch, which worker processes do without

    names = tuple(get_corruption(name).name for name in dict.fromkeys(corruptions)) or whole.corruptions
    missing = [name for name in names if name not in whole.corruptions]
    if missing:
        raise UsageError(f"{whole.source} has no {', '.join(missing)}; it has {', '.join(whole.corruptions)}")
    number = len(whole.labels)
    drawn = range(number) if count is None else drawn_indices(number, count, seed).tolist()
    if names == whole.corruptions and len(drawn) == number:
        return whole
    return PartOfSet(whole, names, tuple(drawn))
