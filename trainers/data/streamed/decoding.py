"""What a worker process does: it reads, decodes, crops, shifts and flips the images of one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from allweather.runtimes.cameras.image_files.decode import Reduction, decode
from allweather.runtimes.cameras.image_files.header import image_size
from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.types import Image
from allweather.trainers.choices import Padding
from allweather.trainers.data.streamed.image_source import ImageSource
from allweather.trainers.data.streamed.random_crop import draw_region, largest_reduction, reduced

BORDERS: Mapping[Padding, int] = MappingProxyType({"reflect": cv2.BORDER_REFLECT_101, "zeros": cv2.BORDER_CONSTANT})
SQUASH = Crop("squash")  # resizes a whole region


@dataclass(frozen=True)
class Request:
    """The images of one batch.

    Attributes:
        indices: int64 [n], their indices in the source.
        copies: How the copies of each image are augmented, for training; None for one copy that is not.
    """

    indices: npt.NDArray[np.int64]
    copies: Copies | None = None


@dataclass(frozen=True)
class Copies:
    """How the copies of the images of a batch are augmented.

    Attributes:
        shift: int64 [n, copies, 2], rows and columns to shift each by.
        hflip: bool [n, copies], whether each is flipped horizontally.
        random: For each copy, whether it is cropped at random, and not shifted.
        seeds: For each image the numbers that its random crops are drawn from.
        padding: What comes in from outside a shifted image; see `gather`.
    """

    shift: npt.NDArray[np.int64]
    hflip: npt.NDArray[np.bool_]
    random: tuple[bool, ...]
    seeds: Sequence[tuple[int, ...]]
    padding: Padding = "reflect"


class Decoded(NamedTuple):
    """A decoded batch.

    Attributes:
        kept: int64 [k], which images of the request could be read.
        images: uint8 [copies * k, h, w, 3], RGB: the first copies of all images, then the second copies, and so on.
        damaged: The others: index in the source, and what is wrong.
    """

    kept: Tensor
    images: Tensor
    damaged: list[tuple[int, str]]


class Decoder(Dataset[Decoded]):
    """Decodes batches of images; a data set of torch, whose "items" are batches.

    Args:
        source: The encoded images.
        spec: Size and crop of the evaluation.
    """

    def __init__(self, source: ImageSource, spec: InputSpec) -> None:
        self.source, self.spec = source, spec

    def __getitems__(self, request: Request) -> Decoded:
        """Reads, decodes and augments the images of a request."""
        images: list[list[Image]] = []
        kept: list[int] = []
        damaged: list[tuple[int, str]] = []
        for position, index in enumerate(request.indices.tolist()):
            try:
                images.append(self._copies(self.source.read(index), request.copies, position))
            except OSError as error:  # a missing file, or no permission
                damaged.append((index, error.strerror or str(error)))
            except DataError as error:
                damaged.append((index, str(error)))
            else:
                kept.append(position)
        return Decoded(torch.tensor(kept, dtype=torch.int64), self._batch(images), damaged)

    def _copies(self, data: bytes, copies: Copies | None, position: int) -> list[Image]:
        """Returns the copies of an image, each uint8 [h, w, 3]."""
        spec = self.spec
        if copies is None:
            return [spec.prepare(decode(data).pixels)]
        seed, random = copies.seeds[position], copies.random
        reduction = self._reduction(data, seed, len(random)) if all(random) else 1
        pixels = decode(data, reduction=reduction).pixels
        height, width = pixels.shape[:2] if reduction == 1 else _whole_size(data, pixels)
        prepared = None if all(random) else spec.prepare(pixels)
        augmented = []
        for copy, is_random in enumerate(random):
            if is_random:
                crop = reduced(_region(seed, copy, height, width), reduction, pixels).crop(pixels)
                image = SQUASH.resize(crop, spec.height, spec.width)
            else:
                assert prepared is not None
                rows, columns = copies.shift[position, copy].tolist()
                image = _shifted(prepared, rows, columns, copies.padding)
            augmented.append(np.asarray(cv2.flip(image, 1), np.uint8) if copies.hflip[position, copy] else image)
        return augmented

    def _batch(self, images: list[list[Image]]) -> Tensor:
        """Returns the copies of images as one tensor; in a worker process, torch writes it into shared memory."""
        if not images:
            return torch.empty((0, self.spec.height, self.spec.width, 3), dtype=torch.uint8)
        ordered = (image for copies in zip(*images, strict=True) for image in copies)
        batch = default_collate([torch.from_numpy(np.ascontiguousarray(image)) for image in ordered])
        assert isinstance(batch, Tensor)
        return batch

    def _reduction(self, data: bytes, seed: tuple[int, ...], copies: int) -> Reduction:
        """Returns the reduction at which an image may be decoded for its random crops."""
        sides = image_size(data)
        if sides is None or min(sides) < 2 * min(self.spec.height, self.spec.width):
            return 1
        # either side may be the height, as the orientation of the image is not known yet
        regions = [_region(seed, copy, *size) for size in (sides, sides[::-1]) for copy in range(copies)]
        return largest_reduction(regions, self.spec.height, self.spec.width)


def _whole_size(data: bytes, pixels: Image) -> tuple[int, int]:
    """Returns the height and width of an image that was decoded at a reduced scale, and perhaps turned."""
    sides = image_size(data)
    assert sides is not None
    width, height = sides
    turned = (height > width) != (pixels.shape[0] > pixels.shape[1])
    return (width, height) if turned else (height, width)


def _region(seed: tuple[int, ...], copy: int, height: int, width: int) -> Region:
    """Returns the random region of a copy."""
    return draw_region(height, width, np.random.default_rng((*seed, copy)))


def _shifted(image: Image, rows: int, columns: int, padding: Padding) -> Image:
    """Shifts an image as `gather` does."""
    if not rows and not columns:
        return image
    height, width = image.shape[:2]
    above, below = max(0, -rows), max(0, rows)
    left, right = max(0, -columns), max(0, columns)
    padded = cv2.copyMakeBorder(image, above, below, left, right, BORDERS[padding])
    return np.asarray(padded[below : below + height, right : right + width], np.uint8)
