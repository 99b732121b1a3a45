"""A corrupted test set that is generated from clean images as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, get_corruption, validate_images
from allweather.trainers.corruptions.sets.base import Labels
from allweather.trainers.corruptions.sets.parts import corrupted_parts

if TYPE_CHECKING:  # processes that write a set do without torch
    from allweather.trainers.data.split import LabeledImages


@dataclass(frozen=True)
class GeneratedSet:
    """A corrupted set made of clean images, in memory or streamed.

    Attributes:
        clean: Clean images, all of which can be read; see `LabeledImages.readable`.
        seed: Random seed. Each image has its own random numbers, so the result does not depend on the batch size.
        corruptions: Names of the corruptions.
    """

    clean: LabeledImages
    seed: int
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)

    def __post_init__(self) -> None:
        """Checks the size of the images and the names.

        Raises:
            DataError: The images are too small to be corrupted.
            UsageError: There is no corruption of one of the names.
        """
        validate_images(np.zeros((1, *self.clean.size, 3), np.uint8))  # a blank one, as all have its size
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

    @property
    def labels(self) -> Labels:
        """Labels of the clean images."""
        return self.clean.labels.numpy()

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Generates the images of one cell in batches; see `CorruptedSet`."""
        first = 0
        for batch in self.clean.batches(batch_size):
            yield np.concatenate(list(corrupted_parts(batch.images.numpy(), name, severity, self.seed, first)))
            first += len(batch)

    def image(self, name: str, severity: int, index: int) -> Image:
        """Generates one image of one cell, uint8 [h, w, 3]."""
        import torch

        clean = self.clean.take(torch.tensor([index])).loaded().images.numpy()
        ((corrupted,),) = corrupted_parts(clean, name, severity, self.seed, index)
        return np.asarray(corrupted, np.uint8)
