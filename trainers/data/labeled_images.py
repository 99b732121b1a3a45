"""Images of one size with labels: what those in memory and those that are read when needed have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError
from allweather.trainers.data.epoch_plan import EpochPlan

if TYPE_CHECKING:
    from allweather.trainers.data.split import Split


class NoReadableImageError(DataError):
    """None of the images that were asked for can be read."""


class LabeledImages(ABC):
    """Labeled images of one size, in one of two forms: `Split` is in memory, `StreamedSplit` is read when needed.

    Attributes:
        labels: int64 [n], 0..C-1.
    """

    labels: Tensor

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""

    @abstractmethod
    def take(self, indices: Tensor) -> LabeledImages:
        """Returns the images with these indices (int64 [m]), in their order."""

    @abstractmethod
    def with_labels(self, labels: Tensor) -> LabeledImages:
        """Returns the same images with other labels, int64 [n]."""

    @abstractmethod
    def to(self, device: torch.device) -> LabeledImages:
        """Returns the same images on `device`: their batches are there."""

    @abstractmethod
    def readable(self) -> LabeledImages:
        """Returns those that can be read; each of the others is named in a warning, or counted if there are many.

        To find them, streamed images are all decoded, once in a process.

        Raises:
            NoReadableImageError: None of them can be read.
        """

    @abstractmethod
    def loaded(self) -> Split:
        """Returns those that can be read, in memory; see `readable`.

        Raises:
            NoReadableImageError: None of them can be read.
        """

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Split]:
        """Yields the images in their order, so many at a time, in memory.

        Raises:
            DataError: One of them cannot be read, or a process that reads them has ended.
        """

    @abstractmethod
    def training_batches(self, plan: EpochPlan, parts: Sequence[tuple[int, slice]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the augmented images of parts of an epoch; streamed images that cannot be read are left out.

        Args:
            plan: The random numbers of the epoch.
            parts: For each batch to yield (step, which images of it).

        Yields:
            (images, labels) as `gather` returns them: the first copies of all images, then the second copies, and so
            on.

        Raises:
            DataError: No image of a part can be read, or a process that reads them has ended.
        """

    @abstractmethod
    def digest(self) -> str:
        """Returns a hash that distinguishes these images from others: of their pixels, or of their files."""
