"""What is whole up to its own end is an image; what is cut off is refused; ranges other than 8 bits are not guessed."""

from __future__ import annotations

import io
import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from PIL import ImageOps, features

from allweather.runtimes.cameras.image_files import decode_image
from allweather.runtimes.cameras.image_files.decode import decode, read_and_decode
from allweather.runtimes.cameras.image_files.deep import to_8_bits
from allweather.runtimes.cameras.image_files.jpeg_png import complete
from allweather.runtimes.errors import DataError

JPEG_KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 2},
    "best": {"quality": 100, "subsampling": 0},
}


def smooth(height: int = 72, width: int = 88) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stretched = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
    return np.asarray(stretched, np.uint8)


def encoded(image: npt.NDArray[np.uint8] | Pillow.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Pillow.Image) else Pillow.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def as_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """How another program shows the file."""
    with Pillow.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_what_follows_the_end_of_a_jpeg_does_not_matter(kind: str) -> None:
    jpeg = encoded(smooth(), "JPEG", **JPEG_KINDS[kind])
    expected = decode_image(jpeg)
    for seed in range(20):  # FF D9 and FF DA occur in a trailer in either order
        assert np.array_equal(decode_image(jpeg + random.Random(seed).randbytes(200_000)), expected)


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(kind: str) -> None:
    jpeg = encoded(smooth(), "JPEG", **JPEG_KINDS[kind])
    for data in (jpeg[:-2], jpeg[:-1], jpeg[:-2] + bytes(600)):
        assert np.array_equal(decode_image(data), decode_image(jpeg))


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("rest", [b"", bytes(600)])
def test_a_jpeg_that_is_cut_off_is_refused(kind: str, rest: bytes) -> None:
    jpeg = encoded(smooth(), "JPEG", **JPEG_KINDS[kind])
    for length in range(3, len(jpeg) - 60, len(jpeg) // 40):
        with pytest.raises(DataError, match="cut off"):
            decode_image(jpeg[:length] + rest)


def test_a_png_is_whole_with_padding_and_without_its_end() -> None:
    png = encoded(smooth(), "PNG")
    for data in (png, png + bytes(512), png + b"more", png[:-12], png[:-12] + bytes(512), png[:-3]):
        assert np.array_equal(decode_image(data), smooth())
    for length in range(1, len(png) - 20, len(png) // 60):
        with pytest.raises(DataError, match="cut off"):
            decode_image(png[:length])


@pytest.mark.parametrize("form", ["BMP", "WEBP", "TIFF", "PPM", "GIF", "AVIF"])
def test_other_formats_that_are_cut_off_are_refused(form: str) -> None:
    data = encoded(smooth(), form)
    assert decode_image(data).shape == smooth().shape
    for share in (0.0, 0.3, 0.6, 0.9):
        with pytest.raises(DataError, match="cut off"):
            decode_image(data[: int(share * len(data))])


def test_walking_a_large_jpeg_costs_little() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1500, 3), dtype=np.uint8)
    jpeg = encoded(noise, "JPEG", quality=95)
    started = time.perf_counter()
    complete(jpeg)
    walked = time.perf_counter()
    decode_image(jpeg)
    assert walked - started < 0.25 * (time.perf_counter() - walked)  # measured: 0.04


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_every_kind_of_color_looks_as_in_other_programs(mode: str, form: str) -> None:
    if (mode, form) in {("LA", "JPEG"), ("RGBA", "JPEG"), ("P", "JPEG"), ("CMYK", "PNG")}:
        return  # the format has no such kind
    data = encoded(Pillow.fromarray(smooth()).convert(mode), form)
    difference = np.abs(decode_image(data).astype(int) - as_pillow(data))
    assert difference.mean() < 1.5  # programs round CMYK in different ways


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_images_are_turned_as_their_orientation_says(orientation: int, form: str) -> None:
    exif = Pillow.Exif()
    exif[0x112] = orientation
    data = encoded(smooth(), form, exif=exif)
    assert np.array_equal(decode_image(data), as_pillow(data))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_that_is_to_be_turned_is_refused_and_never_seen_sideways(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x112] = orientation
    data = encoded(smooth(), "AVIF", exif=exif, quality=95)
    if orientation == 1:
        assert np.abs(decode_image(data).astype(int) - as_pillow(data)).mean() < 3
        return
    with pytest.raises(DataError, match="AVIF that is to be turned or mirrored"):
        decode_image(data)


def deep(extension: str, factor: int) -> bytes:
    return cv2.imencode(extension, smooth()[..., ::-1].astype(np.uint16) * factor)[1].tobytes()


@pytest.mark.parametrize("extension", [".png", ".tiff", ".ppm"])
def test_sixteen_bits_that_are_used_become_eight(extension: str) -> None:
    assert np.array_equal(decode_image(deep(extension, 257)), smooth())


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_few_bits_in_sixteen_are_refused_instead_of_black(extension: str, bits: int) -> None:
    with pytest.raises(DataError, match=f"uses only the lowest {bits}, .* scale its values to all 16 bits"):
        decode_image(deep(extension, 1 << (bits - 8)))


@pytest.mark.parametrize("maximum", [15, 100, 1023, 4095])
def test_pnm_is_scaled_by_the_maximum_that_it_states(maximum: int) -> None:
    samples = np.rint(smooth() * (maximum / 255)).astype(np.uint8 if maximum < 256 else ">u2")
    header = f"P6\n# a comment\n{samples.shape[1]} {samples.shape[0]}\n{maximum}\n".encode()
    decoded = decode_image(header + samples.tobytes())
    assert np.abs(decoded.astype(int) - smooth()).max() <= 255 / maximum
    gray = decode_image(header.replace(b"P6", b"P5") + samples[..., 0].tobytes())
    assert np.array_equal(gray, decoded[..., :1].repeat(3, axis=2))
    with pytest.raises(DataError, match="cut off"):
        decode_image(header + samples.tobytes()[:-1])


def test_tiff_is_scaled_by_the_maximum_that_it_states() -> None:
    gray = smooth()[..., 0]
    data = encoded(Pillow.fromarray(gray.astype(np.uint16) * 16), "TIFF", tiffinfo={281: 255 * 16})
    assert np.array_equal(decode_image(data)[..., 0], gray)


def test_tiff_of_16_bits_that_states_a_small_maximum_is_not_black() -> None:
    gray = np.minimum(smooth()[..., 0], 100)
    data = encoded(Pillow.fromarray(gray.astype(np.uint16)), "TIFF", tiffinfo={281: 100})
    assert np.array_equal(decode_image(data)[..., 0], np.rint(gray * 2.55))


@pytest.mark.parametrize("extension", [".pfm", ".hdr"])
def test_floating_point_images_of_any_name_are_refused_instead_of_black(extension: str) -> None:
    data = cv2.imencode(extension, smooth().astype(np.float32) / 255)[1].tobytes()
    with pytest.raises(DataError, match="floating-point values"):
        decode_image(data)


def big_tiff(samples: npt.NDArray[Any], sample_format: int, photometric: int = 1) -> bytes:
    """A BigTIFF of one gray image, as other programs write it beyond 4 GB."""
    tags = {256: samples.shape[1], 257: samples.shape[0], 258: samples.itemsize * 8, 259: 1, 262: photometric, 277: 1,
            278: samples.shape[0], 273: 0, 279: samples.nbytes, 339: sample_format}  # fmt: skip
    tags[273] = 16 + 8 + 20 * len(tags) + 8
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags)) + entries + bytes(8) + samples.tobytes()


def test_big_tiff_is_scaled_and_refused_as_tiff_is() -> None:
    gray = smooth()[..., 0]
    assert np.array_equal(decode_image(big_tiff(gray.astype("<u2") * 257, 1))[..., 0], gray)
    with pytest.raises(DataError, match="uses only the lowest 12"):
        decode_image(big_tiff(gray.astype("<u2") * 16, 1))
    with pytest.raises(DataError, match="TIFF of 32-bit floating-point values"):
        decode_image(big_tiff((gray / 255).astype("<f4"), 3))


@pytest.mark.parametrize(("photometric", "what"), [(0, "in which 0 is white"), (3, "with a palette")])
def test_tiff_of_16_bits_that_opencv_would_misread_is_refused(photometric: int, what: str) -> None:
    with pytest.raises(DataError, match=f"a TIFF of 16 bits {what}, which is not read; save it as"):
        decode_image(big_tiff(smooth()[..., 0].astype("<u2") * 257, 1, photometric))


def test_tiff_of_8_bits_in_which_0_is_white_is_not_a_negative() -> None:
    gray = smooth()[..., 0]
    assert np.array_equal(decode_image(big_tiff(255 - gray, 1, photometric=0))[..., 0], gray)


def test_16_bits_become_8_by_rounding_and_whole_gray_levels_stay() -> None:
    samples = np.arange(1 << 16, dtype=np.uint16)
    assert np.array_equal(to_8_bits(samples), np.rint(samples / 257))
    file = cv2.imencode(".png", samples.reshape(256, 256))[1].tobytes()
    assert np.array_equal(decode_image(file)[..., 1], np.rint(samples / 257).reshape(256, 256))
    assert decode(file).maximum == 65535
    assert decode(encoded(smooth(), "PNG")).maximum == 255


@pytest.mark.parametrize(("kind", "name"), [(np.float32, "32-bit floating-point"), (np.int16, "16-bit signed")])
def test_values_without_a_known_range_are_refused(kind: type, name: str) -> None:
    data = cv2.imencode(".tiff", (smooth() / (255 if kind is np.float32 else 1)).astype(kind))[1].tobytes()
    with pytest.raises(DataError, match=f"TIFF of {name} values, .* save it as PNG"):
        decode_image(data)


@pytest.mark.parametrize("data", [b"", b"no image", b"II*\0" + b"\xff" * 30, b"MM\0*" + struct.pack(">I", 1 << 31)])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="damaged, cut off or not an image; remove or replace it"):
        decode_image(data)


def test_opencv_adds_nothing_to_the_message(capfd: pytest.CaptureFixture[str]) -> None:
    for form in ("BMP", "TIFF", "GIF", "PNG"):
        with pytest.raises(DataError):
            decode_image(encoded(smooth(), form)[:-300])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a pipe or a device"):
        read_and_decode(path)
