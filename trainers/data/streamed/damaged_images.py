"""Keeps what is known about the images of a source: which were checked, and which cannot be read."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from allweather.runtimes.text import printable
from allweather.trainers.data.streamed.image_source import ImageSource

MAX_NAMED = 10  # images that cannot be read are named; the others are counted

log = logging.getLogger(__name__)


class DamagedImages:
    """The images of a source that cannot be read, as far as this process knows.

    Args:
        source: The images.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._checked, self._damaged = np.zeros(len(source), bool), np.zeros(len(source), bool)
        self.example = ""

    def note(self, index: int, reason: str) -> None:
        """Remembers an image that cannot be read; the first ones are named in a warning, and then each tenfold."""
        if self._damaged[index]:
            return
        self._damaged[index] = True
        name, reason = self._source.name(index), printable(reason)
        self.example = self.example or f"{name}: {reason}"
        if self.count <= MAX_NAMED:
            log.warning("%s cannot be read as an image and is left out: %s", name, reason)
        elif str(self.count).strip("0") == "1":
            log.warning("%d images so far cannot be read and are left out, such as %s: %s", self.count, name, reason)

    @property
    def count(self) -> int:
        """How many are known."""
        return int(self._damaged.sum())

    def checked(self, indices: npt.NDArray[np.int64]) -> None:
        """Remembers that images were decoded."""
        self._checked[indices] = True

    def unchecked(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns those of some images that were not decoded yet."""
        return indices[~self._checked[indices]]

    def usable(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Returns for each of some images whether nothing is known against it."""
        return ~self._damaged[indices]
