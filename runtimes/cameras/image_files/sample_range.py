"""The range of an image's values, as its file states it: 16-bit PNG, TIFF and PNM, of cameras with 10 to 16 bits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from allweather.runtimes.cameras.image_files.jpeg_png import PNG_START
from allweather.runtimes.cameras.image_files.tiff import (
    BITS_PER_SAMPLE,
    MAX_SAMPLE_VALUE,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    TIFF_STARTS,
    tiff_tags,
)

# Comments may stand between the parts of a header. A space is matched in one way only, so that no header makes the
# search slow; and a number has few digits, as int() takes no long ones.
PNM_HEADER = re.compile(rb"P([2356])(?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
MAX_PNM_HEADER = 1 << 16  # bytes that are searched for it
# PFM, Radiance and OpenEXR, which OpenCV recognizes by their content in a file of any name
FLOAT_IMAGE = re.compile(rb"P[Ff]\s|#\?(RADIANCE|RGBE)|\x76\x2f\x31\x01")
UNSIGNED = 1
BLACK_IS_ZERO = 1
# what OpenCV takes for gray as it is where a sample has more than 8 bits
MISREAD = MappingProxyType({0: "in which 0 is white", 3: "with a palette"})
CURE = "save it as PNG or TIFF with 8 bits a channel"


@dataclass(frozen=True)
class SampleRange:
    """The range of the values of an image.

    Attributes:
        maximum: Largest value that the format allows, which stands for full brightness.
        stated: Whether the file itself names that value, instead of having it by its number of bits.
        samples: The values, uint8 or uint16 [h, w, 3], RGB, where OpenCV would misread them; else None.
        problem: What keeps the image from being used, and what to do; "" for nothing.
    """

    maximum: int = 255
    stated: bool = False
    samples: np.ndarray | None = None
    problem: str = ""


def sample_range(data: bytes) -> SampleRange:
    """Returns the range of an image file's values, without decoding it."""
    if data.startswith(PNG_START):
        return SampleRange(65535 if data[24:25] == b"\x10" else 255)
    if data[:4] in TIFF_STARTS:
        return _of_tiff(data)
    if header := PNM_HEADER.match(data, 0, MAX_PNM_HEADER):
        return _of_pnm(data, header)
    if FLOAT_IMAGE.match(data):
        return SampleRange(
            problem=f"it holds floating-point values, whose range for full brightness is not known; {CURE}"
        )
    return SampleRange()


def _of_tiff(data: bytes) -> SampleRange:
    tags = tiff_tags(data)
    bits, kind = tags.get(BITS_PER_SAMPLE, 8), tags.get(SAMPLE_FORMAT, UNSIGNED)
    if kind != UNSIGNED or bits > 16:
        name = {2: "signed", 3: "floating-point"}.get(kind, "unsigned")
        return SampleRange(
            problem=f"it is a TIFF of {bits}-bit {name} values, whose range for full brightness is not known; {CURE}"
        )
    if bits <= 8:
        return SampleRange()
    photometric = tags.get(PHOTOMETRIC, BLACK_IS_ZERO)
    if photometric in MISREAD:
        return SampleRange(problem=f"it is a TIFF of {bits} bits {MISREAD[photometric]}, which is not read; {CURE}")
    stated = tags.get(MAX_SAMPLE_VALUE, 0)
    return SampleRange(stated, stated=True) if 0 < stated < 65535 else SampleRange(65535)


def _of_pnm(data: bytes, header: re.Match[bytes]) -> SampleRange:
    """Reads binary PNM whose largest value is not 255 or 65535, as OpenCV takes the values as they are."""
    form, width, height, maximum = (int(header[part]) for part in (1, 2, 3, 4))
    if maximum in (255, 65535) or not 0 < maximum < 65536:
        return SampleRange(65535 if maximum == 65535 else 255)
    if form in (2, 3):
        return SampleRange(problem=f"it is a text PNM with values up to {maximum}, which is not read; {CURE}")
    channels, sample = (1 if form == 5 else 3), np.dtype(np.uint8 if maximum < 256 else ">u2")
    size = width * height * channels
    if len(data) - header.end() < size * sample.itemsize or not size:
        return SampleRange(problem="it is cut off; remove or replace it")
    samples = np.frombuffer(data, sample, size, header.end()).reshape(height, width, channels)
    samples = samples.astype(np.uint8 if maximum < 256 else np.uint16)
    return SampleRange(maximum, stated=True, samples=np.broadcast_to(samples, (height, width, 3)))
