"""Reads the tags of a TIFF's first image: its size, and the kind and range of its values."""

from __future__ import annotations

import struct

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF
# byte, short, long and long8, and the same with a sign; others do not state what is read here
TYPES = {1: "B", 3: "H", 4: "I", 16: "Q", 6: "b", 8: "h", 9: "i", 17: "q"}
IMAGE_WIDTH, IMAGE_LENGTH = 256, 257
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE_VALUE, SAMPLE_FORMAT = 258, 262, 281, 339


def tiff_tags(data: bytes) -> dict[int, int]:
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
            if kind not in TYPES or not values:
                continue
            letter = TYPES[kind]
            place = entry + 4 + room
            if values * struct.calcsize(letter) > room:  # the entry holds the place of the values
                (place,) = struct.unpack_from(f"{order}{number}", data, place)
            (value,) = struct.unpack_from(f"{order}{letter}", data, place)
            tags.setdefault(tag, value)  # of two, decoders take the first
    except (struct.error, OverflowError):  # cut off, or a place beyond all files; the decoder says so
        return tags
    return tags
