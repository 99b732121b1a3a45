"""A few bytes that ask for gigabytes, or for a search without end, are refused from their header."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from allweather.runtimes.cameras.image_files.decode import MAX_PIXELS, decode
from allweather.runtimes.cameras.image_files.header import image_size
from allweather.runtimes.cameras.image_files.jpeg_png import PNG_START, complete
from allweather.runtimes.cameras.images import FolderCapture
from allweather.runtimes.errors import CameraError, DataError

WIDTH, HEIGHT = 46, 33
HUGE = 30_000


def picture() -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def saved(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture().save(file, form, **options)
    return file.getvalue()


def by_opencv(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.asarray(picture()))[1].tobytes()


FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved("PNG"),
    "JPEG": lambda: saved("JPEG"),
    "progressive JPEG with a small picture inside": lambda: saved(
        "JPEG", progressive=True, exif=b"Exif\0\0" + saved("JPEG", quality=5)
    ),
    "GIF": lambda: saved("GIF"),
    "BMP": lambda: saved("BMP"),
    "WebP": lambda: saved("WEBP"),
    "lossless WebP": lambda: saved("WEBP", lossless=True),
    "WebP with EXIF": lambda: saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "TIFF": lambda: saved("TIFF"),
    "compressed TIFF": lambda: saved("TIFF", compression="tiff_lzw"),
    "BigTIFF": lambda: saved("TIFF", big_tiff=True),
    "PPM": lambda: saved("PPM"),
    "PPM with comments": lambda: b"P6\n# a\n#\n  46 # b\n33\n\n255\n" + picture().tobytes(),
    "PGM of 12 bits": lambda: b"P5 46 33 4095\n" + bytes(2 * WIDTH * HEIGHT),
    "AVIF": lambda: saved("AVIF"),
    "Sun raster": lambda: by_opencv(".ras"),
    "PAM": lambda: by_opencv(".pam"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_header_tells_the_size_that_decoding_gives(name: str) -> None:
    data = FILES[name]()
    assert image_size(data) == (WIDTH, HEIGHT)
    assert decode(data).pixels.shape == (HEIGHT, WIDTH, 3)
    for length in range(min(len(data), 200)):  # what is cut off has a size or none
        image_size(data[:length])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png(rows: int = 1) -> bytes:
    header = struct.pack(">IIBBBBB", HUGE, HUGE, 1, 0, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows * (1 + HUGE // 8))))


def huge_tiff(order: str) -> bytes:
    tags = struct.pack(f"{order}H", 2) + b"".join(struct.pack(f"{order}HHII", tag, 4, 1, HUGE) for tag in (256, 257))
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + tags + bytes(4)


def test_of_two_sizes_of_a_tiff_the_first_counts_as_in_its_decoder() -> None:
    tags = [(256, 9, HUGE), (257, 4, HUGE), (256, 4, 5), (257, 4, 5)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    assert image_size(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)) == (HUGE, HUGE)


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once() -> None:
    data = saved("JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    with pytest.raises(DataError, match="it is damaged"):
        decode(data[:start] + data[start:-2] * 5000 + data[-2:])


def huge_jpeg() -> bytes:
    data = saved("JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", HUGE, HUGE) + data[place + 4 :]


HUGE_FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: huge_png(),
    "JPEG": huge_jpeg,
    "JPEG without an end": lambda: huge_jpeg()[:-2],
    "GIF": lambda: b"GIF89a" + struct.pack("<HH", HUGE, HUGE) + saved("GIF")[10:],
    "BMP": lambda: saved("BMP")[:18] + struct.pack("<ii", HUGE, -HUGE) + saved("BMP")[26:],
    "WebP": lambda: b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + 2 * (HUGE - 1).to_bytes(3, "little") + bytes(20),
    "TIFF": lambda: huge_tiff("<"),
    "TIFF in the other order": lambda: huge_tiff(">"),
    "PPM": lambda: b"P6 30000 30000 255\n" + bytes(9),
    "text PGM": lambda: b"P2 30000 30000 255\n1 2 3",
    "PBM": lambda: b"P4 30000 30000\n",
    "AVIF": lambda: saved("AVIF").replace(struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", HUGE, HUGE)),
    "Sun raster": lambda: by_opencv(".ras")[:4] + struct.pack(">II", HUGE, HUGE) + by_opencv(".ras")[12:],
    "PAM": lambda: by_opencv(".pam").replace(b"46", b"30000").replace(b"33", b"30000"),
    "JPEG 2000": lambda: b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">IIII", HUGE, HUGE, 0, 0) + bytes(60),
}


@pytest.mark.parametrize("name", HUGE_FILES)
def test_too_many_pixels_are_refused_before_anything_is_decoded(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"^it has 30000 x 30000 pixels, and an image at most 268435456, .*smaller"):
        decode(HUGE_FILES[name]())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_the_limit_is_that_of_the_pixels_and_not_of_a_side() -> None:
    long = np.zeros((1, 60_000, 3), np.uint8)
    assert decode(cv2.imencode(".png", long)[1].tobytes()).pixels.shape == long.shape
    assert MAX_PIXELS == 16384 * 16384


@pytest.mark.slow
def test_the_rest_of_a_png_without_an_end_is_bounded_by_its_size() -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    zeros = zlib.compress(bytes(100 << 20), 1)  # 100 MB in 450 KB
    data = PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zeros)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert complete(data) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize(
    "data",
    [
        b"P5" + b" " * 60 + b"x",
        b"P6 7" + b"\n" * 60 + b"x",
        b"P5" + b"#\n" * 100_000,
        b"P3 1 1" + b" " * 10_000_000,
        b"P5 " + b"9" * 5000 + b" 3 200 " + bytes(9),
        b"P7\n" + b"A\n" * 100_000,
        b"II+\0\x08\0\0\0" + b"\xff" * 16,  # BigTIFF whose tags stand beyond all files
        b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000,
        b"GIF89a",
    ],
    ids=lambda data: repr(data[:8]),
)
def test_hostile_headers_are_refused_at_once(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(DataError, match=r"^it "):
        decode(data)
    assert time.process_time() - start < 2


def moving(form: str, count: int = 3, **options: object) -> bytes:
    first, *rest = [Pillow.new("RGB", (WIDTH, HEIGHT), (80 * index, 9, 200)) for index in range(count)]
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=rest, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_an_animated_image_is_told_from_one_that_is_not(form: str) -> None:
    assert decode(moving(form)).animated
    assert decode(moving(form)).pixels.mean(axis=(0, 1)) == pytest.approx([0, 9, 200], abs=4)  # the first one
    assert not decode(saved(form)).animated
    assert not decode(moving(form, count=1)).animated


def test_a_source_of_files_says_which_one_is_too_large(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "huge.png").write_bytes(huge_png())
    capture = FolderCapture([tmp_path / "huge.png"])
    assert capture.grab()
    assert capture.retrieve() is None
    assert "huge.png: it has 30000 x 30000 pixels" in caplog.text
    with pytest.raises(CameraError, match="none of the images"):
        capture.grab()
