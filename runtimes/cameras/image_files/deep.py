"""Brings images of more than 8 bits a channel to 8: the one scaling of files, arrays, training and run time."""

from __future__ import annotations

import numpy as np

from allweather.runtimes.cameras.image_files.sample_range import SampleRange
from allweather.runtimes.errors import DataError
from allweather.runtimes.types import Image

MIN_USED_BITS = 15  # of a 16-bit image: with fewer it would have a quarter of the brightness, or less
FULL = 65535  # the largest value of 16 bits


def to_8_bits(samples: np.ndarray, values: SampleRange | None = None) -> Image:
    """Brings an image of 16 bits a channel to uint8 by the largest value that its file names, else by all 16 bits.

    All 16 bits are divided by 257 and rounded, so that 65535 becomes 255 and a gray that was stored with 8 bits before
    is the same again.

    Args:
        samples: uint16 of any shape.
        values: What the file states about them; None for an array, about which nothing is stated.

    Raises:
        DataError: Nothing is stated, and so few bits are used that the image would be nearly black. The message begins
            with "it".
    """
    values = values or SampleRange(FULL)
    used = int(samples.max(initial=0))
    if not values.stated and 0 < used < 1 << (MIN_USED_BITS - 1):
        raise DataError(
            f"it stores 16 bits a channel and uses only the lowest {used.bit_length()}, so it would be nearly black; "
            "scale its values to all 16 bits, or save it with 8"
        )
    if values.maximum == FULL:
        return ((samples.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)  # x / 257, rounded, for all x
    return np.rint(samples.clip(0, values.maximum) * (255 / values.maximum)).astype(np.uint8)
