"""Decodes image files to uint8 RGB, and says why one cannot be used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from allweather.runtimes.cameras.image_files.jpeg_png import complete
from allweather.runtimes.cameras.image_files.sample_range import SampleRange, sample_range
from allweather.runtimes.cameras.opencv import opencv_log_silenced
from allweather.runtimes.errors import DataError
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image

MIN_USED_BITS = 15  # of a 16-bit image: with fewer it would have a quarter of the brightness, or less
MAX_IMAGE_BYTES = 1 << 30  # of a file; what is larger is a mistake, and would fill the memory
DAMAGED = "it is damaged, cut off or not an image; remove or replace it"


def read_image(path: Path | str) -> Image:
    """Reads and decodes an image file; see `decode_image`. It never waits for a pipe, nor reads an endless device.

    Raises:
        DataError: The path is that of a pipe, a device or a huge file, or `decode_image` refuses what is in it.
        OSError: The file cannot be read.
    """
    path = as_path(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise DataError("it is a pipe or a device, and not a file; remove it")
        if state.st_size > MAX_IMAGE_BYTES:
            raise DataError(f"it has {state.st_size} bytes, and an image file at most {MAX_IMAGE_BYTES}; remove it")
        return decode_image(file.read())


def decode_image(data: bytes) -> Image:
    """Decodes the bytes of an image file to uint8 [H, W, 3] RGB, turned as its EXIF orientation says.

    What is whole up to its own end is an image; what follows the end does not matter, such as the film of a phone's
    motion photo. Images of other than 8 bits a channel are scaled by what the file says about its range.

    Args:
        data: Content of the file.

    Raises:
        DataError: It is damaged, cut off, no image, or its range of values is not known. The message begins with "it"
            and names no path.
    """
    whole = complete(data)
    if not whole:
        raise DataError(DAMAGED)
    values = sample_range(whole)
    if values.problem:
        raise DataError(values.problem)
    if values.samples is not None:
        return _scaled(values.samples, values.maximum)
    image = _imdecode(whole, cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if values.maximum > 255 else 0))
    if image is None:
        raise DataError(DAMAGED)
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return np.asarray(rgb, np.uint8) if image.dtype == np.uint8 else _from_deep(rgb, values)


def _from_deep(rgb: np.ndarray, values: SampleRange) -> Image:
    """Brings an image of 16 bits a channel to uint8 by the largest value that its file names, else by all 16 bits."""
    used = int(rgb.max(initial=0))
    if not values.stated and 0 < used < 1 << (MIN_USED_BITS - 1):
        raise DataError(
            f"it stores 16 bits a channel and uses only the lowest {used.bit_length()}, so it would be nearly black; "
            "scale its values to all 16 bits, or save it with 8"
        )
    return _scaled(rgb, values.maximum)


def _scaled(samples: np.ndarray, maximum: int) -> Image:
    """Brings values 0..maximum to uint8 0..255."""
    if maximum == 65535:
        return (samples >> 8).astype(np.uint8)  # as OpenCV and other programs do it
    return np.rint(samples.clip(0, maximum) * (255 / maximum)).astype(np.uint8)


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    try:
        with opencv_log_silenced():  # as our own message is enough
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # for an empty file and for sizes beyond its limits
        return None
