"""Motion blur as ImageMagick does it: half a Gaussian along a line that starts at the pixel."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Floats
from allweather.trainers.corruptions.corruption import Array

MIN_WEIGHT = 1e-4  # smaller weights are left out: together they change a value by less than 0.1 of 255


def motion_blur(image: Array, radius: int, deviation: float, degrees: float) -> Floats:
    """Blurs an image along a line; the edge pixels are repeated beyond the edge.

    Args:
        image: uint8 or float32 [h, w] or [h, w, c].
        radius: The line has 2 * radius + 1 pixels.
        deviation: Standard deviation of the Gaussian in pixels.
        degrees: Direction of the line, clockwise from the right.

    Returns:
        float32, the shape of `image`.
    """
    kernel, anchor = line_kernel(radius, deviation, degrees)
    return np.asarray(
        cv2.filter2D(image, cv2.CV_32F, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def line_kernel(radius: int, deviation: float, degrees: float) -> tuple[Floats, tuple[int, int]]:
    """Returns the weights of the pixels on the line as a kernel, and the position (x, y) of the pixel itself in it."""
    angle = math.radians(degrees)
    across, down, weights = math.cos(angle), math.sin(angle), _weights(radius, deviation)
    line = [(math.ceil(step * across - 0.5), math.ceil(step * down - 0.5)) for step in range(len(weights))]
    (first_x, first_y), (last_x, last_y) = line[0], line[-1]  # a straight line lies in the rectangle of its ends
    left, top = min(first_x, last_x), min(first_y, last_y)
    kernel = np.zeros((abs(last_y - first_y) + 1, abs(last_x - first_x) + 1), np.float32)
    for (x, y), weight in zip(line, weights, strict=True):
        kernel[y - top, x - left] += weight
    return kernel, (-left, -top)


@lru_cache(maxsize=32)
def _weights(radius: int, deviation: float) -> tuple[float, ...]:
    """Returns the weights along the line, from the pixel itself on; their sum is 1."""
    weights = np.exp(-0.5 * (np.arange(2 * radius + 1) / deviation) ** 2)
    weights = weights[weights / weights.sum() > MIN_WEIGHT]
    return tuple((weights / weights.sum()).tolist())
