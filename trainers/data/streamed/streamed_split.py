"""Labeled images that are read when they are needed, so that there may be more of them than fit into memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import allocate
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.epoch_plan import EpochPlan
from allweather.trainers.data.split import LabeledImages, NoReadableImageError, Split, TrainingBatches, check_batch_size
from allweather.trainers.data.streamed.damaged_images import DamagedImages
from allweather.trainers.data.streamed.decoding import Copies, Decoded, Decoder, Request
from allweather.trainers.data.streamed.image_source import ImageSource
from allweather.trainers.data.streamed.workers import FEW_IMAGES, decoded_batches

READ_AT_ONCE = 64  # images of a batch that is only checked or copied
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class StreamedSplit(LabeledImages):
    """Labeled images of one size that are decoded when they are needed.

    Attributes:
        source: The encoded images.
        damaged: Which of them cannot be read, as far as is known; the splits of a data set may share it.
        indices: int64 [n], the indices of this split's images in the source.
        labels: int64 [n], 0..C-1.
        spec: Size and crop.
        random_resized: Whether training takes a random part of each image, of random size and aspect ratio, where it
            would otherwise shift the image.
        workers: Number of processes that decode; 0 for none beside this one.
        device: Where batches are brought to.
    """

    source: ImageSource
    damaged: DamagedImages
    indices: npt.NDArray[np.int64]
    labels: Tensor
    spec: InputSpec
    random_resized: bool = False
    workers: int = 1
    device: torch.device = CPU

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels that the images are brought to."""
        return self.spec.height, self.spec.width

    def __repr__(self) -> str:
        """Returns how many images there are and their size, as a notebook shows them."""
        return f"StreamedSplit({len(self)} images of {self.spec.height} x {self.spec.width} px)"

    @property
    def unreadable(self) -> int:
        """How many images were left out of batches so far, in this process, as they could not be read."""
        return int((~self.damaged.usable(self.indices)).sum())

    @property
    def images(self) -> NoReturn:
        """There are none in memory.

        Raises:
            AttributeError: Always, with what to use instead.
        """
        raise AttributeError(
            "streamed images are not in memory: readable().batches(250) yields them, take(indices).loaded() reads some"
        )

    def take(self, indices: Tensor) -> StreamedSplit:
        """Returns the images with these indices (int64 [m]); none is read."""
        rows = indices.cpu()
        return dataclasses.replace(self, indices=self.indices[rows.numpy()], labels=self.labels[rows])

    def with_labels(self, labels: Tensor) -> StreamedSplit:
        """Returns the same images with other labels, int64 [n]."""
        return dataclasses.replace(self, labels=labels)

    def to(self, device: torch.device) -> StreamedSplit:
        """Returns the same images, whose batches will be on `device`."""
        return dataclasses.replace(self, device=device)

    def readable(self) -> StreamedSplit:
        """Returns those that can be read; see `LabeledImages`."""
        new = self.damaged.unchecked(self.indices)
        for _ in self._decoded(_requests(new), len(new)):
            pass
        self.damaged.checked(new)
        usable = self.damaged.usable(self.indices)
        if not usable.any():
            raise NoReadableImageError(f"none of {len(self)} images can be read, such as {self.damaged.example}")
        return self if usable.all() else self.take(torch.from_numpy(usable.nonzero()[0]))

    def loaded(self) -> Split:
        """Returns those that can be read, in memory; on disk if they are too many for it."""
        images, count, kept = torch.from_numpy(allocate((len(self), *self.size, 3))), 0, []
        for number, batch in enumerate(self._decoded(_requests(self.indices), len(self))):
            images[count : count + len(batch.kept)] = batch.images
            count += len(batch.kept)
            kept.append(batch.kept + number * READ_AT_ONCE)
        if not count:
            raise NoReadableImageError(f"none of {len(self)} images can be read, such as {self.damaged.example}")
        return Split(images[:count], self.labels[torch.cat(kept)]).to(self.device)

    def batches(self, batch_size: int) -> Iterator[Split]:
        """Yields the images in their order, so many at a time; see `LabeledImages`."""
        check_batch_size(batch_size)
        labels = torch.split(self.labels, batch_size)
        for batch, wanted in zip(self._decoded(_requests(self.indices, batch_size), len(self)), labels, strict=True):
            if batch.damaged:
                index, reason = batch.damaged[0]
                raise DataError(
                    f"{self.source.name(index)} cannot be read: {reason} (readable() returns the images that can be)"
                )
            yield Split(self._moved(batch.images), wanted.to(self.device))

    def training_batches(self, plan: EpochPlan, parts: Sequence[tuple[int, slice]]) -> TrainingBatches:
        """Yields the augmented images of parts of an epoch; see `LabeledImages`."""
        requests = (self._training_request(plan, *part) for part in parts)
        for (step, share), batch in zip(parts, self._decoded(requests, plan.order.numel()), strict=True):
            rows, copies = plan.order[step, share], plan.shift.shape[2]
            if not len(batch.kept):
                raise DataError(
                    f"none of the {len(rows)} images of a batch can be read, such as {self.damaged.example}"
                )
            labels = self.labels[rows][batch.kept].repeat(copies)
            yield to_float(self._moved(batch.images)), labels.to(self.device)

    def digest(self) -> str:
        """Returns a hash of the labels, of the names, sizes and times of the files, and of how they are prepared."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        digest.update(f"{self.size} {self.spec.crop}\n".encode())
        for index in self.indices.tolist():
            digest.update(f"{self.source.stamp(index)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def _training_request(self, plan: EpochPlan, step: int, share: slice) -> Request:
        places = range(plan.order.shape[1])[share]  # in the whole batch, so that processes draw as one would
        copies = Copies(
            plan.shift[step, share].numpy(),
            plan.hflip[step, share].numpy(),
            plan.shifted if self.random_resized else (False,) * plan.shift.shape[2],
            [(*plan.seed, step, place) for place in places],
            plan.padding,
        )
        return Request(self.indices[plan.order[step, share].numpy()], copies)

    def _decoded(self, requests: Iterable[Request], count: int) -> Iterator[Decoded]:
        """Yields decoded batches, and notes which images cannot be read."""
        workers = self.workers if count > FEW_IMAGES else 0
        pinned = self.device.type == "cuda"
        for batch in decoded_batches(Decoder(self.source, self.spec), requests, workers, pinned=pinned):
            for index, reason in batch.damaged:
                self.damaged.note(index, reason)
            yield batch

    def _moved(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True)


def _requests(indices: npt.NDArray[np.int64], batch_size: int = READ_AT_ONCE) -> Iterator[Request]:
    """Returns the requests of images one after the other, with the crop of the evaluation."""
    return (Request(indices[first : first + batch_size]) for first in range(0, len(indices), batch_size))
