"""A corrupted test set that is generated from clean images as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, get_corruption, validate_images
from allweather.trainers.corruptions.sets.base import Labels
from allweather.trainers.corruptions.sets.random_streams import image_rngs


@dataclass(frozen=True)
class GeneratedSet:
    """A corrupted set made of clean images in memory.

    Attributes:
        images: uint8 [n, h, w, 3], RGB, clean.
        labels: int64 [n].
        seed: Random seed. Each image has its own random numbers, so the result does not depend on the batch size.
        corruptions: Names of the corruptions.
    """

    images: Image
    labels: Labels
    seed: int
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)

    def __post_init__(self) -> None:
        """Checks the images and the names.

        Raises:
            DataError: The images cannot be corrupted.
            UsageError: There is no corruption of one of the names.
        """
        validate_images(self.images)
        for name in self.corruptions:
            get_corruption(name)

    @property
    def source(self) -> str:
        """Says that it was generated, and with which seed."""
        return f"generated with seed {self.seed}"

    @property
    def data(self) -> str:
        """Empty: it is made of the images that it was given, whatever they are."""
        return ""

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Generates the images of one cell in batches; see `CorruptedSet`."""
        for first in range(0, len(self.labels), batch_size):
            part = self.images[first : first + batch_size]
            rngs = image_rngs(self.seed, name, severity, first, len(part))
            yield CORRUPTIONS[name](part, severity, rngs)

    def image(self, name: str, severity: int, index: int) -> Image:
        """Generates one image of one cell, uint8 [h, w, 3]."""
        rngs = image_rngs(self.seed, name, severity, index, 1)
        (corrupted,) = CORRUPTIONS[name](self.images[index : index + 1], severity, rngs)
        return np.asarray(corrupted, np.uint8)
