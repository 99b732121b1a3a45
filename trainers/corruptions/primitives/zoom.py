"""Zooming into the center of an image by one matrix per axis: bilinear, with corner pixels mapped to corner pixels."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import cv2
import numpy as np

from allweather.runtimes.types import Floats


@lru_cache(maxsize=512)
def zoom_matrix(length: int, factor: float) -> Floats:
    """Returns the matrix that zooms a line of pixels, float32 [length, length].

    The ceil(length / factor) pixels in the middle are stretched to round(that * factor) pixels, and the middle of those
    is kept.
    """
    start, step = _sampling_line(length, factor)
    position = start + np.arange(length) * step
    low = np.minimum(position.astype(int), length - 1)
    share = position - low
    matrix = np.zeros((length, length), np.float32)
    rows = np.arange(length)
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, length - 1)] += share
    return matrix


def _sampling_line(length: int, factor: float) -> tuple[float, float]:
    """Returns the position that the first pixel of a zoomed line is read from, and the step to that of the next."""
    kept = ceil(length / factor)
    stretched = round(kept * factor)
    first, trim = (length - kept) // 2, (stretched - length) // 2
    step = (kept - 1) / (stretched - 1)
    return first + trim * step, step


def zoom_layers(layers: Floats, factor: float) -> Floats:
    """Zooms float32 [n, h, w] into the center."""
    height, width = layers.shape[1:3]
    return np.asarray(zoom_matrix(height, factor) @ layers @ zoom_matrix(width, factor).T, np.float32)


def zoom_image(image: Floats, factor: float) -> Floats:
    """Zooms float32 [h, w, c] into the center; for large images this is faster than the matrices."""
    height, width = image.shape[:2]
    (top, down), (left, right) = _sampling_line(height, factor), _sampling_line(width, factor)
    matrix = np.array([[right, 0, left], [0, down, top]])
    bilinear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), flags=bilinear, borderMode=cv2.BORDER_REPLICATE))
