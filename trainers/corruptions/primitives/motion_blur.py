"""Motion blur as ImageMagick does it: half a Gaussian along a line that starts at the pixel."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from allweather.trainers.corruptions.corruption import Draw, Floats

LEAST = 1e-4  # weights below are left out: together they move a value by less than 0.1 of 255


def motion_blur(picture: Draw, radius: int, deviation: float, degrees: float) -> Floats:
    """Blurs along a line; the edge pixel goes on beyond the edge.

    Args:
        picture: uint8 or float32 [h, w] or [h, w, c].
        radius: the line has 2 * radius + 1 pixels.
        deviation: of the Gaussian, in pixels.
        degrees: direction in which it looks, clockwise from the right.

    Returns:
        float32, the shape of `picture`.
    """
    kernel, anchor = line_kernel(radius, deviation, degrees)
    return np.asarray(
        cv2.filter2D(picture, cv2.CV_32F, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def line_kernel(radius: int, deviation: float, degrees: float) -> tuple[Floats, tuple[int, int]]:
    """Weights of the pixels on the line, and which of them is the pixel itself (x, y)."""
    angle = math.radians(degrees)
    across, down, weights = math.cos(angle), math.sin(angle), _weights(radius, deviation)
    line = [(math.ceil(step * across - 0.5), math.ceil(step * down - 0.5)) for step in range(len(weights))]
    (first_x, first_y), (last_x, last_y) = line[0], line[-1]  # a straight line is longest between its ends
    left, top = min(first_x, last_x), min(first_y, last_y)
    kernel = np.zeros((abs(last_y - first_y) + 1, abs(last_x - first_x) + 1), np.float32)
    for (x, y), weight in zip(line, weights, strict=True):
        kernel[y - top, x - left] += weight
    return kernel, (-left, -top)


@lru_cache(maxsize=32)
def _weights(radius: int, deviation: float) -> tuple[float, ...]:
    weights = np.exp(-0.5 * (np.arange(2 * radius + 1) / deviation) ** 2)
    weights = weights[weights / weights.sum() > LEAST]
    return tuple((weights / weights.sum()).tolist())
