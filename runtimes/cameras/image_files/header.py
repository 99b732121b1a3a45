"""What the header of an image file tells before anything is decoded: the size of the image, and whether it moves."""

from __future__ import annotations

import re
import struct

from allweather.runtimes.cameras.image_files.jpeg_png import JPEG_START, NEXT_MARKER, PNG_START, START_OF_FRAME
from allweather.runtimes.cameras.image_files.sample_range import MAX_PNM_HEADER
from allweather.runtimes.cameras.image_files.tiff import IMAGE_LENGTH, IMAGE_WIDTH, TIFF_STARTS, tiff_tags

Size = tuple[int, int]  # width and height in pixels

GIF_STARTS = (b"GIF87a", b"GIF89a")
GIF_EXTENSION, GIF_IMAGE = 0x21, 0x2C
START_OF_SCAN, MARKERS_WITHOUT_LENGTH = 0xDA, (0x01, 0xD8)
PNM_SIZE = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
PAM_SIZE = re.compile(rb"P7\s(?:[^\n]{0,80}\n){0,20}?WIDTH\s+(\d{1,9})\s+HEIGHT\s+(\d{1,9})\s")
AVIF_SIZE = re.compile(rb"ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)  # one for each part of the image, and for the whole
JPEG_2000_START, JPEG_2000_SIZE = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
SUN_RASTER_START = b"\x59\xa6\x6a\x95"


def image_size(data: bytes) -> Size | None:
    """Returns the width and height of an image from the header of its file, without decoding it.

    Args:
        data: Content of the file.

    Returns:
        The size in pixels; None if the content is of no format that is read here, or cut off within the header.
    """
    try:
        return _size(data)
    except (struct.error, ValueError):  # cut off
        return None


def _size(data: bytes) -> Size | None:
    if data.startswith(PNG_START):
        return _pair(">II", data, 16)
    if data.startswith(JPEG_START):
        return _of_jpeg(data)
    if data.startswith(GIF_STARTS):
        return _pair("<HH", data, 6)
    if data.startswith(b"BM"):
        old = _numbers("<I", data, 14)[0] == 12  # the size of the header that follows
        width, height = _numbers("<HH", data, 18) if old else _numbers("<ii", data, 18)
        return abs(width), abs(height)  # a negative height is that of an image from top to bottom
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _of_webp(data)
    if data[:4] in TIFF_STARTS:
        tags = tiff_tags(data)
        return (tags[IMAGE_WIDTH], tags[IMAGE_LENGTH]) if {IMAGE_WIDTH, IMAGE_LENGTH} <= tags.keys() else None
    if data[4:8] == b"ftyp":
        sizes = [_pair(">II", size[1] + size[2], 0) for size in AVIF_SIZE.finditer(data[: data.find(b"mdat")])]
        return max(sizes, key=lambda size: size[0] * size[1], default=None)
    if match := PNM_SIZE.match(data, 0, MAX_PNM_HEADER) or PAM_SIZE.match(data, 0, MAX_PNM_HEADER):
        return int(match[1]), int(match[2])
    if data.startswith(SUN_RASTER_START):
        return _pair(">II", data, 4)
    if data.startswith((JPEG_2000_START, JPEG_2000_SIZE)):
        right, bottom, left, top = _numbers(">IIII", data, data.index(JPEG_2000_SIZE) + 8)
        return right - left, bottom - top
    return None


def _numbers(form: str, data: bytes, place: int) -> tuple[int, ...]:
    return struct.unpack_from(form, data, place)


def _pair(form: str, data: bytes, place: int) -> Size:
    width, height = _numbers(form, data, place)
    return width, height


def _of_jpeg(data: bytes) -> Size | None:
    """Returns the size from the first frame header, which stands before the first scan."""
    position = len(JPEG_START)
    while marker := NEXT_MARKER.search(data, position):
        code, position = marker[1][0], marker.end()
        if code in MARKERS_WITHOUT_LENGTH:
            continue
        if code in START_OF_FRAME:
            height, width = _numbers(">HH", data, position + 3)
            return width, height
        if code == START_OF_SCAN:
            return None
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return None


def _of_webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = _numbers("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = _numbers("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def has_more_images(data: bytes) -> bool:
    """Returns whether an image file is animated, so that the first of its images is not all that it shows.

    Args:
        data: Content of a GIF, WebP, PNG or AVIF file; that of others is never animated.
    """
    if data.startswith(GIF_STARTS):
        return _has_second_gif_image(data)
    if data.startswith(PNG_START):
        start = data.find(b"acTL", 0, data.find(b"IDAT"))
        return start > 0 and int.from_bytes(data[start + 4 : start + 8], "big") > 1
    if data[12:16] == b"VP8X" and data[8:12] == b"WEBP":
        return bool(data[20] & 2)
    return data[4:12] == b"ftypavis"


def _has_second_gif_image(data: bytes) -> bool:
    position = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # behind the table of colors
    images = 0
    while position + 10 < len(data) and images < 2:
        if data[position] == GIF_IMAGE:
            images += 1
            colors = data[position + 9]
            position += 11 + (3 << (colors & 7) + 1 if colors & 0x80 else 0)
        elif data[position] == GIF_EXTENSION:
            position += 2
        else:
            break
        while position < len(data) and data[position]:  # blocks of up to 255 bytes; an empty one is the last
            position += 1 + data[position]
        position += 1
    return images > 1
