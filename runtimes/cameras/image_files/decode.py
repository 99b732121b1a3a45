"""Decodes image files to uint8 RGB, and says why one cannot be used."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np

from allweather.runtimes.cameras.image_files.deep import to_8_bits
from allweather.runtimes.cameras.image_files.header import has_more_images, image_size
from allweather.runtimes.cameras.image_files.jpeg_png import JPEG_START, complete
from allweather.runtimes.cameras.image_files.sample_range import CURE, sample_range
from allweather.runtimes.cameras.opencv import opencv_log_silenced
from allweather.runtimes.errors import DataError
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image

MAX_IMAGE_BYTES = 1 << 30  # of a file; what is larger is a mistake, and would fill the memory
# Of an image; a few kilobytes can ask for more. It takes 1.6 GB to decode so many at 8 bits a channel, and no camera
# and no scan of a page has them.
MAX_PIXELS = 1 << 28
# properties of the images of a file: rotation by 1 to 3 quarters, and mirroring; OpenCV ignores them
ORIENTED_AVIF = re.compile(rb"\0\0\0\x09(irot[\x01-\x03]|imir)")
Reduction = Literal[1, 2, 4, 8]
REDUCED: Mapping[int, int] = MappingProxyType(
    {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
)
DAMAGED = "it is damaged, cut off or not an image; remove or replace it"


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, and the values that it had in its file.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        maximum: Value in the file that stands for full brightness: 255 for 8 bits a channel, at most 65535.
        animated: Whether the file holds more images, of which `pixels` is the first.
    """

    pixels: Image
    maximum: int
    animated: bool = False


def read_and_decode(path: Path | str) -> DecodedImage:
    """Reads and decodes an image file; see `decode`. It never waits for a pipe, nor reads an endless device.

    Raises:
        DataError: The path is that of a pipe, a device or a huge file, or `decode` refuses what is in it.
        OSError: The file cannot be read.
    """
    return decode(read_file(path))


def read_file(path: Path | str) -> bytes:
    """Reads the file of an image. It never waits for a pipe, nor reads an endless device.

    Raises:
        DataError: The path is that of a pipe, a device or a huge file.
        OSError: The file cannot be read.
    """
    path = as_path(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise DataError("it is a pipe or a device, and not a file; remove it")
        if state.st_size > MAX_IMAGE_BYTES:
            raise DataError(f"it has {state.st_size} bytes, and an image file at most {MAX_IMAGE_BYTES}; remove it")
        return file.read()


def decode_image(data: bytes) -> Image:
    """Decodes the bytes of an image file to uint8 [H, W, 3] RGB; see `decode`."""
    return decode(data).pixels


def decode(data: bytes, *, reduction: Reduction = 1) -> DecodedImage:
    """Decodes the bytes of an image file, turned as its EXIF orientation says.

    What is whole up to its own end is an image; what follows the end does not matter, such as the film of a phone's
    motion photo. Gray becomes three equal channels. Images of other than 8 bits a channel are scaled by what the file
    says about its range; see `to_8_bits`.

    Args:
        data: Content of the file.
        reduction: A JPEG of 8 bits a channel is decoded at this fraction of its sides, rounded up, which takes less
            time: 2 means one half. Other images are decoded as they are.

    Raises:
        DataError: It is damaged, cut off, no image, has more than `MAX_PIXELS`, or its range of values is not known.
            The message begins with "it" and names no path.
    """
    size = image_size(data)
    if size and size[0] * size[1] > MAX_PIXELS:  # told before anything is decoded, as that would fill the memory
        raise DataError(
            f"it has {size[0]} x {size[1]} pixels, and an image at most {MAX_PIXELS}, such as 16384 x 16384; make it "
            "smaller or remove it"
        )
    whole = complete(data)
    if not whole:
        raise DataError(DAMAGED)
    if ORIENTED_AVIF.search(whole[: whole.find(b"mdat")]) and whole[4:8] == b"ftyp":
        raise DataError("it is an AVIF that is to be turned or mirrored to be seen, which is not done here; " + CURE)
    values = sample_range(whole)
    if values.problem:
        raise DataError(values.problem)
    if not size:
        raise DataError(DAMAGED)
    if values.samples is not None:
        return DecodedImage(to_8_bits(values.samples, values), values.maximum)
    if reduction > 1 and whole.startswith(JPEG_START):
        flags = REDUCED[reduction]
    else:
        flags = cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if values.stated or values.maximum > 255 else 0)
    image = _imdecode(whole, flags)
    if image is None:
        raise DataError(DAMAGED)
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if rgb.dtype == np.uint8:
        return DecodedImage(np.asarray(rgb, np.uint8), 255, has_more_images(whole))
    return DecodedImage(to_8_bits(rgb, values), values.maximum, has_more_images(whole))


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    try:
        with opencv_log_silenced():  # as our own message is enough
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # for an empty file and for sizes beyond its limits
        return None
