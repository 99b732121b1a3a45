"""Blur: defocus, frosted glass, motion, zoom and Gaussian."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.corruption import Array, Corruption, Rng, random_uint16
from allweather.trainers.corruptions.primitives.filters import filter_batch, gaussian_filter
from allweather.trainers.corruptions.primitives.motion_blur import motion_blur
from allweather.trainers.corruptions.primitives.zoom import zoom_image, zoom_matrix

MAX_SHUFFLES = 3  # largest number of shuffles at any severity of glass blur
MAX_MATRIX_SIDE = 48  # pixels; up to this size, all zooms of an image are computed by two matrix products


def truncate_to_uint8(images: Floats) -> Image:
    """Converts values of 0..255 to uint8; they are truncated, not rounded, as in the published data sets."""
    return images.clip(0, 255).astype(np.uint8)


# -- Gaussian and defocus ------------------------------------------------------------------------------------------


def gaussian_blur(images: Image, deviation: float) -> Image:
    """Blurs by a Gaussian of `deviation` pixels; the edge pixels are repeated beyond the edge."""
    return truncate_to_uint8(gaussian_filter(images, deviation, cv2.BORDER_REPLICATE))


@lru_cache(maxsize=10)
def _disk(radius: float, softness: float) -> Floats:
    """Returns a disk with soft edges as a kernel, without the empty rows and columns around it."""
    reach = int(max(8, radius))
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    disk = np.asarray(x**2 + y**2 <= radius**2, np.float32)
    side = 3 if radius <= 8 else 5
    kernel = cv2.GaussianBlur(disk / disk.sum(), (side, side), softness)
    edge = int(np.flatnonzero(kernel.any(axis=0))[0])
    return np.asarray(kernel[edge : len(kernel) - edge, edge : len(kernel) - edge], np.float32)


def defocus_blur(images: Image, parameters: tuple[float, float]) -> Image:
    """Spreads every point over a disk.

    Args:
        images: uint8 [n, h, w, 3].
        parameters: Radius of the disk in pixels, and softness of its edge.
    """
    kernel = _disk(*parameters)

    def filter_image(image: Array) -> Array:
        return cv2.filter2D(image.astype(np.float32), cv2.CV_32F, kernel)  # twice as fast as on uint8

    return truncate_to_uint8(filter_batch(images, len(kernel) // 2, cv2.BORDER_REFLECT_101, filter_image))


# -- glass ---------------------------------------------------------------------------------------------------------


def draw_shuffles(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws uniform numbers, from which each shuffle takes a row and a column offset per pixel: uint16 [3, 2, h, w]."""
    return (random_uint16(rng, MAX_SHUFFLES, 2, height, width),)


def glass_blur(images: Image, shuffles: npt.NDArray[np.uint16], parameters: tuple[float, int, int]) -> Image:
    """Blurs the images, lets each pixel take the value of a pixel nearby, and blurs them again.

    Args:
        images: uint8 [n, h, w, 3].
        shuffles: uint16 [n, 3, 2, h, w], from `draw_shuffles`.
        parameters: Standard deviation of the blur and distance to the farthest nearby pixel, both in pixels; and number
            of shuffles.
    """
    deviation, distance, times = parameters
    mixed = truncate_to_uint8(gaussian_filter(images, deviation, cv2.BORDER_REPLICATE))
    source = _sources(shuffles[:, times - 1], distance)
    for index in reversed(range(times - 1)):
        source = _sources(shuffles[:, index], distance).take(source)
    mixed = mixed.reshape(-1, 3).take(source, axis=0).reshape(images.shape)
    return truncate_to_uint8(gaussian_filter(mixed, deviation, cv2.BORDER_REPLICATE))


def _sources(shuffle: npt.NDArray[np.uint16], distance: int) -> npt.NDArray[np.intp]:
    """Returns the index of the pixel whose value each pixel ends up with, over the whole batch, [n * h * w].

    Pixels are visited from the last to the first. Each takes the current value of the pixel that is `-distance` to
    `distance - 1` rows and columns away: the original value if that pixel is still to be visited, otherwise the value
    that it has taken before. Sources of the second kind form chains, and each step of the loop below halves the
    remaining length of all chains.
    """
    count, _, height, width = shuffle.shape
    offset = ((shuffle * np.uint32(2 * distance)) >> 16).astype(np.intp) - distance
    row, column = np.arange(height)[:, None], np.arange(width)
    inside = (row > distance) & (row <= height - distance) & (column > distance) & (column <= width - distance)
    pixels = np.arange(count * height * width)
    source = pixels + (inside * (offset[:, 0] * width + offset[:, 1])).ravel()
    chained = source > pixels  # the source was visited before, and so has another source itself
    rest = np.flatnonzero(chained)
    while len(rest):
        through = source.take(rest)
        source[rest], still_chained = source.take(through), chained.take(through)
        chained[rest] = still_chained
        rest = rest[still_chained]
    return np.asarray(source)


# -- motion and zoom -----------------------------------------------------------------------------------------------


def draw_angle(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the direction of the motion in degrees, -45 to 45."""
    return (np.asarray(rng.uniform(-45, 45)),)


def camera_motion(images: Image, angles: npt.NDArray[np.float64], parameters: tuple[int, float]) -> Image:
    """Blurs the images as a moving camera does.

    Args:
        images: uint8 [n, h, w, 3].
        angles: float64 [n], direction of the motion in degrees.
        parameters: Radius of the line and standard deviation of the Gaussian along it, both in pixels.
    """
    blurred = [motion_blur(image, *parameters, angle) for image, angle in zip(images, angles, strict=True)]
    return truncate_to_uint8(np.stack(blurred))


def zoom_blur(images: Image, factors: tuple[float, ...]) -> Image:
    """Averages each image and its zooms by `factors`, as if the camera moved forward."""
    sum_of_zooms = _small_zooms if max(images.shape[1:3]) <= MAX_MATRIX_SIDE else _large_zooms
    mean = np.stack([sum_of_zooms(np.asarray(image, np.float32), (1.0, *factors)) for image in images])
    mean /= len(factors) + 1
    return truncate_to_uint8(mean)


@lru_cache(maxsize=20)
def _zoom_matrices(length: int, factors: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Returns the zoom matrices of all factors, stacked vertically [k * length, length] and horizontally."""
    matrices = [zoom_matrix(length, factor) for factor in factors]
    return np.concatenate(matrices), np.concatenate(matrices, axis=1)


def _small_zooms(image: Floats, factors: tuple[float, ...]) -> Floats:
    """Returns the sum of an image's zooms, float32 [h, w, 3].

    It takes one image at a time, so that the result does not depend on the size of the batch.
    """
    height, width = image.shape[:2]
    column_matrices, _ = _zoom_matrices(width, factors)
    _, row_matrices = _zoom_matrices(height, factors)
    across = image.transpose(0, 2, 1).reshape(height * 3, width) @ column_matrices.T
    lines = across.reshape(height, 3, len(factors), width).transpose(2, 0, 1, 3).reshape(-1, 3 * width)
    return np.asarray((row_matrices @ lines).reshape(height, 3, width).transpose(0, 2, 1))


def _large_zooms(image: Floats, factors: tuple[float, ...]) -> Floats:
    """Returns the same sum; for a large image this is faster than `_small_zooms`."""
    total = np.zeros_like(image)
    for factor in factors:
        cv2.accumulate(zoom_image(image, factor), total)
    return total


def _zoom_factors(end: float, step: float) -> tuple[float, ...]:
    return tuple(float(factor) for factor in np.arange(1, end, step))


DEFOCUS = Corruption(
    "defocus_blur",
    family="blur",
    common=True,
    small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    large=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    apply=defocus_blur,
)
GLASS = Corruption(
    "glass_blur",
    family="blur",
    common=True,
    small=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    large=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    apply=glass_blur,
    draw=draw_shuffles,
)
MOTION = Corruption(
    "motion_blur",
    family="blur",
    common=True,
    small=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    large=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    apply=camera_motion,
    draw=draw_angle,
)
ZOOM = Corruption(
    "zoom_blur",
    family="blur",
    common=True,
    small=tuple(_zoom_factors(end, 0.01) for end in (1.06, 1.11, 1.16, 1.21, 1.26)),
    large=(
        _zoom_factors(1.11, 0.01),
        _zoom_factors(1.16, 0.01),
        _zoom_factors(1.21, 0.02),
        _zoom_factors(1.26, 0.02),
        _zoom_factors(1.31, 0.03),
    ),
    apply=zoom_blur,
)
GAUSSIAN = Corruption(
    "gaussian_blur",
    family="blur",
    common=False,
    small=(0.4, 0.6, 0.7, 0.8, 1.0),
    large=(1.0, 2.0, 3.0, 4.0, 6.0),
    apply=gaussian_blur,
)
