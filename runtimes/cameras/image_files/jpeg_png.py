"""Whether a JPEG or PNG file is whole: walks its segments or chunks up to its own end, whatever bytes follow that.

OpenCV fills the rest of a JPEG that is cut off with gray and, in some versions, says nothing.
"""

from __future__ import annotations

import re
import zlib

import cv2
import numpy as np

JPEG_START, JPEG_END, PNG_START = b"\xff\xd8", b"\xff\xd9", b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# a marker that ends the compressed data of a scan: not a stuffed byte (00), a restart (D0 to D7) or a fill byte (FF)
NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END_OF_IMAGE, START_OF_IMAGE = 0xDA, 0xD9, 0xD8
# decoded in place of what is missing: some data, and the same again behind each of the eight restart markers
FILLER = b"".join(restart + b"\x55\xa3\x1c" * 32 for restart in (b"", *(bytes((0xFF, 0xD0 + n)) for n in range(8))))
MAX_SCANS = 100  # encoders write about ten; each goes through the whole image, and may be a few bytes
INFLATE_PIECE = 1 << 20  # bytes that are decompressed at a time
PADDING = b"\0" * 16  # a file whose rest was never written ends like this


def complete(data: bytes) -> bytes | None:
    """Returns the content of a file with its end; None if a JPEG or PNG is cut off, or the file is empty.

    A JPEG or PNG that lacks nothing but its end marker gets one. Other formats are returned as they are, as their
    decoders notice a missing part.

    Args:
        data: Content of the file.
    """
    if data.startswith(JPEG_START):
        return _complete_jpeg(data)
    if data.startswith(PNG_START):
        return _complete_png(data)
    return data or None


def _complete_jpeg(data: bytes) -> bytes | None:
    scans: list[bytes] = []
    position, components = 2, 0
    while True:
        marker = NEXT_MARKER.search(data, position)
        if marker is None:
            break
        code, position = marker[1][0], marker.end()
        if code == END_OF_IMAGE:
            return data if scans else None
        if code in (START_OF_IMAGE, 0x01):  # these have no length
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        segment = data[position + 2 : position + length]
        if length < 2 or len(segment) < length - 2:
            return None
        if code in START_OF_FRAME:
            components = segment[5] if len(segment) > 5 else 0
        if code == START_OF_SCAN:
            scans.append(segment)
            if len(scans) > MAX_SCANS:
                return None
        position += length
    if not components or not _scans_cover(scans, components):
        return None
    return _with_end(data)


def _scans_cover(scans: list[bytes], components: int) -> bool:
    """Returns whether the scans, by their headers, bring all bits of all 64 coefficients of every component."""
    done: dict[int, set[int]] = {}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            return False
        first, last, low_bit = scan[1 + 2 * count], scan[2 + 2 * count], scan[3 + 2 * count] & 15
        if low_bit == 0:
            for component in scan[1 : 1 + 2 * count : 2]:
                done.setdefault(component, set()).update(range(first, last + 1))
    return len(done) == components and all(len(coefficients) == 64 for coefficients in done.values())


def _with_end(data: bytes) -> bytes | None:
    """Returns a JPEG without an end marker with one; None if its last scan is cut off.

    Bytes after a whole scan change no pixel; in one that is cut off they are decoded in place of what is missing.
    """
    if data.endswith(PADDING):
        data = data.rstrip(b"\0")
    data = data.rstrip(b"\xff")  # half of a marker, or of a stuffed byte
    try:
        image, filled = (
            cv2.imdecode(np.frombuffer(data + rest + JPEG_END, np.uint8), cv2.IMREAD_COLOR) for rest in (b"", FILLER)
        )
    except cv2.error:
        return None
    return data + JPEG_END if image is not None and filled is not None and np.array_equal(image, filled) else None


def _complete_png(data: bytes) -> bytes | None:
    position, parts = len(PNG_START), []
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if not kind.isalpha():
            break
        end = position + 12 + length
        if end > len(data):
            return data[: position + 8] + PNG_END[8:] if kind == b"IEND" and length == 0 else None
        if kind == b"IEND":
            return data
        if kind == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        position = end
    return data[:position] + PNG_END if _is_whole(parts, data[16:24]) else None


def _is_whole(parts: list[bytes], size: bytes) -> bool:
    """Returns whether compressed parts end as they should, after no more than an image of this size can hold."""
    width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
    left = 8 * width * height + 2 * height + 64  # 4 channels of 16 bits, and a byte for each row, interlaced or not
    inflate = zlib.decompressobj()
    try:
        for part in parts:
            piece = INFLATE_PIECE
            while piece == INFLATE_PIECE and left > 0:
                piece = len(inflate.decompress(part, INFLATE_PIECE))
                part, left = inflate.unconsumed_tail, left - piece
    except zlib.error:
        return False
    return inflate.eof and left > 0
