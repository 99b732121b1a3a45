"""The range of an image's values, as its file states it: 16-bit PNG, TIFF and PNM, of cameras with 10 to 16 bits."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.cameras.image_files.jpeg_png import PNG_START

# comments may stand between the parts of a header
PNM_HEADER = re.compile(rb"P([2356])((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)\s")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF
# PFM, Radiance and OpenEXR, which OpenCV recognizes by their content in a file of any name
FLOAT_IMAGE = re.compile(rb"P[Ff]\s|#\?(RADIANCE|RGBE)|\x76\x2f\x31\x01")
TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # byte, short, long and long8; others do not state what is read here
BITS_PER_SAMPLE, MAX_SAMPLE_VALUE, SAMPLE_FORMAT = 258, 281, 339
UNSIGNED = 1
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
    if header := PNM_HEADER.match(data):
        return _of_pnm(data, header)
    if FLOAT_IMAGE.match(data):
        return SampleRange(
            problem=f"it holds floating-point values, whose range for full brightness is not known; {CURE}"
        )
    return SampleRange()


def _of_tiff(data: bytes) -> SampleRange:
    tags = _tiff_tags(data)
    bits, kind = tags.get(BITS_PER_SAMPLE, 8), tags.get(SAMPLE_FORMAT, UNSIGNED)
    if kind != UNSIGNED or bits > 16:
        name = {2: "signed", 3: "floating-point"}.get(kind, "unsigned")
        return SampleRange(
            problem=f"it is a TIFF of {bits}-bit {name} values, whose range for full brightness is not known; {CURE}"
        )
    if bits <= 8:
        return SampleRange()
    stated = tags.get(MAX_SAMPLE_VALUE, 0)
    return SampleRange(stated, stated=True) if 0 < stated < 65535 else SampleRange(65535)


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Returns the first value of each whole-number tag of a TIFF's first image."""
    order, big = "<" if data.startswith(b"II") else ">", b"+" in data[:4]
    number, count_form = ("Q", "Q") if big else ("I", "H")  # of a place in the file; of the number of tags
    room = struct.calcsize(number)
    tags: dict[int, int] = {}
    try:
        (start,) = struct.unpack_from(f"{order}{number}", data, room)  # behind 4 bytes, and in BigTIFF 4 more
        (count,) = struct.unpack_from(f"{order}{count_form}", data, start)
        for index in range(count):
            entry = start + struct.calcsize(count_form) + (4 + 2 * room) * index
            tag, kind, values = struct.unpack_from(f"{order}HH{number}", data, entry)
            if kind not in TIFF_TYPES or not values:
                continue
            letter = TIFF_TYPES[kind]
            place = entry + 4 + room
            if values * struct.calcsize(letter) > room:  # the entry holds the place of the values
                (place,) = struct.unpack_from(f"{order}{number}", data, place)
            (tags[tag],) = struct.unpack_from(f"{order}{letter}", data, place)
    except struct.error:  # cut off; the decoder says so
        return tags
    return tags


def _of_pnm(data: bytes, header: re.Match[bytes]) -> SampleRange:
    """Reads binary PNM whose largest value is not 255 or 65535, as OpenCV takes the values as they are."""
    form, width, height, maximum = int(header[1]), int(header[3]), int(header[5]), int(header[7])
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
