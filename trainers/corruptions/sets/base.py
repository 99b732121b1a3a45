"""The interface of corrupted test sets, and the names of two files of a set on disk.

A set is read cell by cell, and a cell batch by batch, so that no set is ever in memory as a whole. A cell is one
corruption at one severity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Image

Labels: TypeAlias = npt.NDArray[np.int64]

LABELS_FILE = "labels.npy"
SETTINGS_FILE = "corrupted.json"  # what a set was made from; only sets that allweather wrote have it


class CorruptedSet(Protocol):
    """Images under several corruptions, each at five severities; every cell holds the same images."""

    @property
    def source(self) -> str:
        """Where the set comes from, for reports."""
        ...

    @property
    def data(self) -> str:
        """Name of the clean data set that it was made from; "" if it does not say."""
        ...

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of its corruptions."""
        ...

    @property
    def labels(self) -> Labels:
        """Labels of the images of each cell, int64 [n]."""
        ...

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Yields the images of one cell in batches.

        Args:
            name: Name of the corruption.
            severity: 1 to 5.
            batch_size: Largest number of images in a batch.

        Yields:
            uint8 [<= batch_size, h, w, 3], RGB.
        """
        ...

    def image(self, name: str, severity: int, index: int) -> Image:
        """Returns the image with this index of one cell, uint8 [h, w, 3], RGB."""
        ...
