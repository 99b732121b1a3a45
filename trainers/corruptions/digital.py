"""Digital corruptions: contrast, elastic transform, pixelation, JPEG compression and saturation."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.blur import truncate_to_uint8
from allweather.trainers.corruptions.corruption import Array, Corruption, Rng
from allweather.trainers.corruptions.primitives.filters import gaussian_matrix, max_channel, to_rgb

LEVELS = np.arange(256, dtype=np.float32)[:, None]

# -- contrast and saturation ---------------------------------------------------------------------------------------


def contrast(images: Image, factor: float) -> Image:
    """Multiplies the distance of every value from the mean of its channel by `factor`."""
    mean = np.array([cv2.mean(image)[:3] for image in images], np.float32)
    # the result for each value of each channel of each image
    tables = truncate_to_uint8(LEVELS * np.float32(factor) + (mean * np.float32(1 - factor))[:, None])
    out = np.empty(images.shape, np.uint8)
    for image, table, target in zip(images, tables, out, strict=True):
        cv2.LUT(image, table[None], target)
    return out


def saturate(images: Image, parameters: tuple[float, float]) -> Image:
    """Changes the saturation of the HSV color space. Gray, which has no hue, becomes red.

    Args:
        images: uint8 [n, h, w, 3].
        parameters: Factor of the saturation, and what is added to it afterwards.
    """
    factor, added = parameters
    top = max_channel(images).astype(np.float32)
    span = top + max_channel(~images) - 255
    before = span / np.maximum(top, 1)
    after = (before * np.float32(factor) + np.float32(added)).clip(0, 1)
    ratio = after / np.where(span > 0, before, 1)
    out = to_rgb(top * (1 - ratio)) + images * to_rgb(ratio)
    gray = span == 0
    out[gray] = (top * (1 - after))[gray, None]
    out[gray, 0] = top[gray]
    out += np.float32(1e-3)  # a product that should be an integer may come out slightly less
    return truncate_to_uint8(out)


# -- elastic -------------------------------------------------------------------------------------------------------


def draw_warp(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the shifts of three points, float32 [3, 2] in -1..1, and of each pixel, float32 [2, h, w] in -1..1."""
    return rng.random((3, 2), np.float32) * 2 - 1, rng.random((2, height, width), np.float32) * 2 - 1


def elastic_transform(
    images: Image, corner_shifts: Floats, pixel_shifts: Floats, parameters: tuple[float, float, float]
) -> Image:
    """Warps the images by a random affine map and then by a smooth random field of shifts.

    Args:
        images: uint8 [n, h, w, 3].
        corner_shifts: float32 [n, 3, 2], -1..1, shifts of three points that define the affine map.
        pixel_shifts: float32 [n, 2, h, w], -1..1, columns and rows to shift each pixel by.
        parameters: Strength of the field, standard deviation of the Gaussian that smooths it, and largest shift of the
            affine map, all as shares of the shorter side.
    """
    height, width = images.shape[1:3]
    strength, smoothness, reach = (value * min(height, width) for value in parameters)
    center, third = np.array([height // 2, width // 2], np.float32), min(height, width) // 3
    points = center + np.array([[1, 1], [1, -1], [-1, -1]], np.float32) * np.float32(third)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if strength:
        smoothing = gaussian_matrix(height, smoothness, 3.0), gaussian_matrix(width, smoothness, 3.0).T
        pixel_shifts = smoothing[0] @ pixel_shifts @ smoothing[1]
        pixel_shifts *= np.float32(strength)
    out = np.empty(images.shape, np.float32)
    for index, (image, shifts) in enumerate(zip(images, corner_shifts, strict=True)):
        matrix = cv2.getAffineTransform(points, points + shifts * np.float32(reach))
        warped = cv2.warpAffine(image.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        if strength:
            x, y = columns + pixel_shifts[index, 0], rows + pixel_shifts[index, 1]
            warped = cv2.remap(warped, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        out[index] = warped
    return truncate_to_uint8(out)


# -- pixelation and JPEG -------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _box_down(length: int, coarse: int) -> Floats:
    """Returns the matrix that averages the pixels whose centers each coarse pixel covers: float32 [coarse, length]."""
    scale = length / coarse
    matrix = np.zeros((coarse, length), np.float32)
    for index in range(coarse):
        first, last = int(index * scale + 0.5), int((index + 1) * scale + 0.5)
        matrix[index, first:last] = 1 / (last - first)
    return matrix


@lru_cache(maxsize=32)
def _box_up(coarse: int, length: int) -> npt.NDArray[np.intp]:
    """Returns the index of the coarse pixel that covers the center of each pixel."""
    return np.minimum(((np.arange(length) + 0.5) * coarse / length).astype(np.intp), coarse - 1)


def pixelate(images: Image, size: float) -> Image:
    """Averages the images down to fewer, larger pixels; `size` is the new number of pixels per side by the old."""
    height, width = images.shape[1:3]
    rows, columns = int(height * size), int(width * size)
    across, down = _box_down(width, columns).T, _box_down(height, rows)
    right, below = _box_up(columns, width), _box_up(rows, height)
    out = np.empty(images.shape, np.uint8)
    for image, target in zip(images, out, strict=True):
        lines = np.ascontiguousarray(image.transpose(0, 2, 1), np.float32).reshape(-1, width) @ across
        lines += np.float32(0.5)
        coarse = down @ np.floor(lines, out=lines).reshape(height, -1)
        coarse += np.float32(0.5)
        small = coarse.astype(np.uint8).reshape(rows, 3, columns).transpose(0, 2, 1)
        target[:] = small.take(right, axis=1).take(below, axis=0)
    return out


def jpeg_compression(images: Image, quality: int) -> Image:
    """Encodes and decodes the images as JPEG, at a quality of 1 to 100, with chroma at half the resolution."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    out = np.empty(images.shape, np.uint8)
    for index, image in enumerate(images):
        encoded, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
        assert encoded
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=out[index])
    return out


CONTRAST = Corruption(
    "contrast",
    family="digital",
    common=True,
    small=(0.75, 0.5, 0.4, 0.3, 0.15),
    large=(0.4, 0.3, 0.2, 0.1, 0.05),
    apply=contrast,
)
# the published ImageNet parameters are written for a side of 244 pixels, and used for images of 224 pixels
_SIDE_RATIO = 244 / 224
ELASTIC = Corruption(
    "elastic_transform",
    family="digital",
    common=True,
    small=((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    large=tuple(
        (_SIDE_RATIO * strength, _SIDE_RATIO * smoothness, _SIDE_RATIO * reach)
        for strength, smoothness, reach in (
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        )
    ),
    apply=elastic_transform,
    draw=draw_warp,
)
PIXELATE = Corruption(
    "pixelate",
    family="digital",
    common=True,
    small=(0.95, 0.9, 0.85, 0.75, 0.65),
    large=(0.6, 0.5, 0.4, 0.3, 0.25),
    apply=pixelate,
)
JPEG = Corruption(
    "jpeg_compression",
    family="digital",
    common=True,
    small=(80, 65, 58, 50, 40),
    large=(25, 18, 15, 10, 7),
    apply=jpeg_compression,
)
SATURATE = Corruption(
    "saturate",
    family="digital",
    common=False,
    small=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    large=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    apply=saturate,
)
