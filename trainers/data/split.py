"""Labeled images: what all have in common, and those that are in memory."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.setting_types import is_whole
from allweather.runtimes.system.memory import allocate
from allweather.trainers.data.batches import gather
from allweather.trainers.data.epoch_plan import EpochPlan

DIGEST_IMAGES = 1024  # hashed at a time
FROM_NUMPY = "; torch.from_numpy makes one of an array"

TrainingBatches: TypeAlias = Generator[tuple[Tensor, Tensor], None, None]  # (images, labels) of each batch


class NoReadableImageError(DataError):
    """None of the images that were asked for can be read."""


class LabeledImages(ABC):
    """Labeled images of one size, in one of two forms: `Split` is in memory, `StreamedSplit` is read when needed.

    Attributes:
        labels: int64 [n], 0..C-1.
    """

    labels: Tensor
    if TYPE_CHECKING:

        @property
        def images(self) -> Tensor:
            """Those of a `Split`; streamed ones have none in memory."""

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""

    @property
    def unreadable(self) -> int:
        """How many images were left out of batches so far, in this process, as they could not be read."""
        return 0

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
        """Yields the images in their order, so many at a time, in memory; of streamed ones, take `readable` first.

        Raises:
            DataError: One of them cannot be read, or a process that reads them has ended.
            UsageError: The batch size is below 1.
        """

    @abstractmethod
    def training_batches(self, plan: EpochPlan, parts: Sequence[tuple[int, slice]]) -> TrainingBatches:
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


@dataclass(frozen=True)
class Split(LabeledImages):
    """Labeled images of one size, in memory.

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

    def __repr__(self) -> str:
        """Returns how many images there are and their size, as a notebook shows them."""
        return f"Split({len(self)} images of {self.images.shape[1]} x {self.images.shape[2]} px)"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def take(self, indices: Tensor) -> Split:
        """Returns a copy of the images with these indices (int64 [m]), on disk if they are too many for memory."""
        if self.images.device.type != "cpu":
            return Split(self.images[indices], self.labels[indices])
        images = torch.from_numpy(allocate((len(indices), *self.images.shape[1:])))
        return Split(torch.index_select(self.images, 0, indices, out=images), self.labels[indices])

    def with_labels(self, labels: Tensor) -> Split:
        """Returns the same images with other labels, int64 [n]."""
        return Split(self.images, labels)

    def to(self, device: torch.device) -> Split:
        """Returns the same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))

    def readable(self) -> Split:
        """Returns all images: they have been read."""
        return self

    def loaded(self) -> Split:
        """Returns all images: they are in memory."""
        return self

    def batches(self, batch_size: int) -> Iterator[Split]:
        """Yields the images in their order, so many at a time."""
        check_batch_size(batch_size)
        for images, labels in zip(
            torch.split(self.images, batch_size), torch.split(self.labels, batch_size), strict=True
        ):
            yield Split(images, labels)

    def training_batches(self, plan: EpochPlan, parts: Sequence[tuple[int, slice]]) -> TrainingBatches:
        """Yields the augmented images of parts of an epoch; see `LabeledImages`."""
        for step, share in parts:
            yield gather(self.images, self.labels, *plan.for_step(step, share), plan.padding)

    def digest(self) -> str:
        """Returns a hash of the labels and all pixels."""
        digest = hashlib.sha256(self.labels.cpu().numpy().tobytes())
        for part in torch.split(self.images, DIGEST_IMAGES):
            digest.update(np.ascontiguousarray(part.cpu().numpy()).data)
        return digest.hexdigest()[:16]


def _type_name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def check_batch_size(batch_size: int) -> None:
    """Checks the number of images of a batch.

    Raises:
        UsageError: It is no whole number above 0.
    """
    if not is_whole(batch_size) or batch_size < 1:
        raise UsageError(f"the number of images of a batch is a whole number, 1 or more; got {batch_size!r:.40}")


def drawn_indices(number: int, count: int, seed: int) -> Tensor:
    """Returns `count` of `number` indices, or all if there are fewer, drawn at random: int64 [n], in rising order."""
    return torch.randperm(number, generator=torch.Generator().manual_seed(seed))[:count].sort().values
