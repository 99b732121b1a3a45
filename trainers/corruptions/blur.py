"""Blur of the lens and of motion: defocus, frosted glass, motion, zoom and Gaussian."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from allweather.trainers.corruptions.corruption import Corruption, Draw, Floats, Images, Rng, words
from allweather.trainers.corruptions.primitives.filters import gaussian, over_strip
from allweather.trainers.corruptions.primitives.motion_blur import motion_blur
from allweather.trainers.corruptions.primitives.zoom import zoom_matrix, zoomed_picture

MOST_SHUFFLES = 3  # of any severity of glass blur
MATRICES_UP_TO = 48  # pixels: below, all zooms of a picture at once are two products of matrices


def as_bytes(images: Floats) -> Images:
    """Values of 0..255 as pictures hold them; cut off, not rounded, as the published sets were made."""
    return images.clip(0, 255).astype(np.uint8)


# -- Gaussian and defocus ------------------------------------------------------------------------------------------


def gaussian_blur(images: Images, deviation: float) -> Images:
    """Gaussian of `deviation` pixels; the edge pixel goes on beyond the edge."""
    return as_bytes(gaussian(images, deviation, cv2.BORDER_REPLICATE))


@lru_cache(maxsize=10)
def _disk(radius: float, softness: float) -> Floats:
    """A disk with soft edges, without the empty rows around it."""
    reach = int(max(8, radius))
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    disk = np.asarray(x**2 + y**2 <= radius**2, np.float32)
    side = 3 if radius <= 8 else 5
    kernel = cv2.GaussianBlur(disk / disk.sum(), (side, side), softness)
    edge = int(np.flatnonzero(kernel.any(axis=0))[0])
    return np.asarray(kernel[edge : len(kernel) - edge, edge : len(kernel) - edge], np.float32)


def defocus_blur(images: Images, parameters: tuple[float, float]) -> Images:
    """Every point becomes a disk. parameters: radius in pixels, softness of its edge."""
    kernel = _disk(*parameters)

    def spread(strip: Draw) -> Draw:
        return cv2.filter2D(strip.astype(np.float32), cv2.CV_32F, kernel)  # twice as fast as on uint8

    return as_bytes(over_strip(images, len(kernel) // 2, cv2.BORDER_REFLECT_101, spread))


# -- glass ---------------------------------------------------------------------------------------------------------


def draw_shuffles(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Where each pixel looks, for each time it does: uint16 [3, 2, h, w]."""
    return (words(rng, MOST_SHUFFLES, 2, height, width),)


def glass_blur(images: Images, shuffles: npt.NDArray[np.uint16], parameters: tuple[float, int, int]) -> Images:
    """Blur, let each pixel take the value of one nearby, blur. parameters: deviation, distance, times."""
    deviation, distance, times = parameters
    mixed = as_bytes(gaussian(images, deviation, cv2.BORDER_REPLICATE))
    source = _sources(shuffles[:, times - 1], distance)
    for number in reversed(range(times - 1)):
        source = _sources(shuffles[:, number], distance).take(source)
    mixed = mixed.reshape(-1, 3).take(source, axis=0).reshape(images.shape)
    return as_bytes(gaussian(mixed, deviation, cv2.BORDER_REPLICATE))


def _sources(shuffle: npt.NDArray[np.uint16], distance: int) -> npt.NDArray[np.intp]:
    """The pixel whose value each pixel ends up with, counted over the whole batch, [n * h * w].

    Pixels are visited from the last to the first, and each takes the value that the one `-distance` to `distance - 1`
    rows and columns away has at that time: its own if its turn is still to come, else what it has taken itself. The
    second kind is a chain; each step of the loop below halves what is left of all chains at once.
    """
    count, _, height, width = shuffle.shape
    offset = ((shuffle * np.uint32(2 * distance)) >> 16).astype(np.intp) - distance
    row, column = np.arange(height)[:, None], np.arange(width)
    inside = (row > distance) & (row <= height - distance) & (column > distance) & (column <= width - distance)
    here = np.arange(count * height * width)
    there = here + (inside * (offset[:, 0] * width + offset[:, 1])).ravel()
    later = there > here  # has had its turn already
    left = np.flatnonzero(later)
    while len(left):
        beyond = there.take(left)
        there[left], further = there.take(beyond), later.take(beyond)
        later[left] = further
        left = left[further]
    return np.asarray(there)


# -- motion and zoom -----------------------------------------------------------------------------------------------


def draw_angle(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Direction of the motion in degrees, -45 to 45."""
    return (np.asarray(rng.uniform(-45, 45)),)


def moving(images: Images, angles: npt.NDArray[np.float64], parameters: tuple[int, float]) -> Images:
    """The camera moves. parameters: radius and deviation of the line in pixels."""
    blurred = [motion_blur(image, *parameters, angle) for image, angle in zip(images, angles, strict=True)]
    return as_bytes(np.stack(blurred))


def zoom_blur(images: Images, factors: tuple[float, ...]) -> Images:
    """The camera moves towards what it sees: the mean of the picture and its zooms."""
    total = _small_zooms if max(images.shape[1:3]) <= MATRICES_UP_TO else _large_zooms
    mean = np.stack([total(np.asarray(image, np.float32), (1.0, *factors)) for image in images])
    mean /= len(factors) + 1
    return as_bytes(mean)


@lru_cache(maxsize=20)
def _zoom_matrices(length: int, factors: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Those of all factors below and beside each other: float32 [k * length, length] and [length, k * length]."""
    matrices = [zoom_matrix(length, factor) for factor in factors]
    return np.concatenate(matrices), np.concatenate(matrices, axis=1)


def _small_zooms(image: Floats, factors: tuple[float, ...]) -> Floats:
    """The sum of a picture's zooms, float32 [h, w, 3]; picture by picture, so that a batch's size changes nothing."""
    height, width = image.shape[:2]
    below, _ = _zoom_matrices(width, factors)
    _, beside = _zoom_matrices(height, factors)
    across = image.transpose(0, 2, 1).reshape(height * 3, width) @ below.T
    lines = across.reshape(height, 3, len(factors), width).transpose(2, 0, 1, 3).reshape(-1, 3 * width)
    return np.asarray((beside @ lines).reshape(height, 3, width).transpose(0, 2, 1))


def _large_zooms(image: Floats, factors: tuple[float, ...]) -> Floats:
    total = np.zeros_like(image)
    for factor in factors:
        cv2.accumulate(zoomed_picture(image, factor), total)
    return total


def _steps(end: float, step: float) -> tuple[float, ...]:
    return tuple(float(factor) for factor in np.arange(1, end, step))


DEFOCUS = Corruption(
    "defocus_blur",
    "blur",
    True,
    small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    large=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    apply=defocus_blur,
)
GLASS = Corruption(
    "glass_blur",
    "blur",
    True,
    small=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    large=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    apply=glass_blur,
    draw=draw_shuffles,
)
MOTION = Corruption(
    "motion_blur",
    "blur",
    True,
    small=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    large=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    apply=moving,
    draw=draw_angle,
)
ZOOM = Corruption(
    "zoom_blur",
    "blur",
    True,
    small=tuple(_steps(end, 0.01) for end in (1.06, 1.11, 1.16, 1.21, 1.26)),
    large=(_steps(1.11, 0.01), _steps(1.16, 0.01), _steps(1.21, 0.02), _steps(1.26, 0.02), _steps(1.31, 0.03)),
    apply=zoom_blur,
)
GAUSSIAN = Corruption(
    "gaussian_blur",
    "blur",
    False,
    small=(0.4, 0.6, 0.7, 0.8, 1.0),
    large=(1.0, 2.0, 3.0, 4.0, 6.0),
    apply=gaussian_blur,
)
