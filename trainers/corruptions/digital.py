"""Faults of processing: contrast, elastic warp, coarse pixels, JPEG and saturation."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from allweather.trainers.corruptions.blur import as_bytes
from allweather.trainers.corruptions.corruption import Corruption, Draw, Floats, Images, Rng
from allweather.trainers.corruptions.primitives.filters import brightest, colored, gaussian_matrix

LEVELS = np.arange(256, dtype=np.float32)[:, None]

# -- contrast and saturation ---------------------------------------------------------------------------------------


def contrast(images: Images, left: float) -> Images:
    """Every value comes closer to the mean of its channel; `left` is what remains of the distance."""
    mean = np.array([cv2.mean(image)[:3] for image in images], np.float32)
    results = as_bytes(LEVELS * np.float32(left) + (mean * np.float32(1 - left))[:, None])  # by gray level and color
    out = np.empty(images.shape, np.uint8)
    for image, result, room in zip(images, results, out, strict=True):
        cv2.LUT(image, result[None], room)
    return out


def saturate(images: Images, parameters: tuple[float, float]) -> Images:
    """Saturation (of hue, saturation, value) times one number plus another. Gray, which has no hue, turns red."""
    factor, more = parameters
    top = brightest(images).astype(np.float32)
    span = top + brightest(~images) - 255
    before = span / np.maximum(top, 1)
    after = (before * np.float32(factor) + np.float32(more)).clip(0, 1)
    ratio = after / np.where(span > 0, before, 1)
    out = colored(top * (1 - ratio)) + images * colored(ratio)
    gray = span == 0
    out[gray] = (top * (1 - after))[gray, None]
    out[gray, 0] = top[gray]
    out += np.float32(1e-3)  # a product that should be whole may come out a little less
    return as_bytes(out)


# -- elastic -------------------------------------------------------------------------------------------------------


def draw_warp(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Where three points go, float32 [3, 2] of -1..1, and each pixel, float32 [2, h, w] of -1..1."""
    return rng.random((3, 2), np.float32) * 2 - 1, rng.random((2, height, width), np.float32) * 2 - 1


def elastic(images: Images, corners: Floats, pulls: Floats, parameters: tuple[float, float, float]) -> Images:
    """An affine warp, then a rubber one. parameters, in sides: pull, its smoothness, reach of the affine warp."""
    height, width = images.shape[1:3]
    strength, smoothness, reach = (value * min(height, width) for value in parameters)
    center, third = np.array([height // 2, width // 2], np.float32), min(height, width) // 3
    before = center + np.array([[1, 1], [1, -1], [-1, -1]], np.float32) * np.float32(third)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if strength:
        pulls = gaussian_matrix(height, smoothness, 3.0) @ pulls @ gaussian_matrix(width, smoothness, 3.0).T
        pulls *= np.float32(strength)
    out = np.empty(images.shape, np.float32)
    for place, (image, corner) in enumerate(zip(images, corners, strict=True)):
        matrix = cv2.getAffineTransform(before, before + corner * np.float32(reach))
        warped = cv2.warpAffine(image.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        if strength:
            x, y = columns + pulls[place, 0], rows + pulls[place, 1]
            warped = cv2.remap(warped, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        out[place] = warped
    return as_bytes(out)


# -- coarse pixels and JPEG ----------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _box_down(length: int, coarse: int) -> Floats:
    """Each coarse pixel as the mean of the pixels whose centers it covers: float32 [coarse, length]."""
    scale = length / coarse
    matrix = np.zeros((coarse, length), np.float32)
    for place in range(coarse):
        first, last = int(place * scale + 0.5), int((place + 1) * scale + 0.5)
        matrix[place, first:last] = 1 / (last - first)
    return matrix


@lru_cache(maxsize=32)
def _box_up(coarse: int, length: int) -> npt.NDArray[np.intp]:
    """Which coarse pixel covers the middle of each fine one."""
    return np.minimum(((np.arange(length) + 0.5) * coarse / length).astype(np.intp), coarse - 1)


def pixelate(images: Images, size: float) -> Images:
    """Fewer, larger pixels; `size` is the coarse picture's side in sides of the fine one."""
    height, width = images.shape[1:3]
    rows, columns = int(height * size), int(width * size)
    across, down = _box_down(width, columns).T, _box_down(height, rows)
    right, below = _box_up(columns, width), _box_up(rows, height)
    out = np.empty(images.shape, np.uint8)
    for image, room in zip(images, out, strict=True):
        lines = np.ascontiguousarray(image.transpose(0, 2, 1), np.float32).reshape(-1, width) @ across
        lines += np.float32(0.5)
        coarse = down @ np.floor(lines, out=lines).reshape(height, -1)
        coarse += np.float32(0.5)
        small = coarse.astype(np.uint8).reshape(rows, 3, columns).transpose(0, 2, 1)
        room[:] = small.take(right, axis=1).take(below, axis=0)
    return out


def jpeg_compression(images: Images, quality: int) -> Images:
    """JPEG at a quality of 1 to 100, with half the color in each direction."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    out = np.empty(images.shape, np.uint8)
    for place, image in enumerate(images):
        written, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
        assert written
        read = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert read is not None
        cv2.cvtColor(read, cv2.COLOR_BGR2RGB, dst=out[place])
    return out


CONTRAST = Corruption(
    "contrast", "digital", True, small=(0.75, 0.5, 0.4, 0.3, 0.15), large=(0.4, 0.3, 0.2, 0.1, 0.05), apply=contrast
)
_224 = 244 / 224  # the ImageNet parameters are written for a side of 244 and used on one of 224
ELASTIC = Corruption(
    "elastic_transform",
    "digital",
    True,
    small=((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    large=tuple(
        (_224 * strength, _224 * smoothness, _224 * reach)
        for strength, smoothness, reach in (
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        )
    ),
    apply=elastic,
    draw=draw_warp,
)
PIXELATE = Corruption(
    "pixelate", "digital", True, small=(0.95, 0.9, 0.85, 0.75, 0.65), large=(0.6, 0.5, 0.4, 0.3, 0.25), apply=pixelate
)
JPEG = Corruption(
    "jpeg_compression", "digital", True, small=(80, 65, 58, 50, 40), large=(25, 18, 15, 10, 7), apply=jpeg_compression
)
SATURATE = Corruption(
    "saturate",
    "digital",
    False,
    small=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    large=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    apply=saturate,
)
