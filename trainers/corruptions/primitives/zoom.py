"""Zooming into the middle of a picture, as a matrix for each axis: bilinear, corner pixels on corner pixels."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import cv2
import numpy as np

from allweather.trainers.corruptions.corruption import Floats


@lru_cache(maxsize=512)
def zoom_matrix(length: int, factor: float) -> Floats:
    """float32 [length, length]: what each pixel of a line of the zoomed picture is made of.

    The middle ceil(length / factor) pixels are spread over round(that * factor) and the middle of those is kept.
    """
    start, step = _line(length, factor)
    place = start + np.arange(length) * step
    low = np.minimum(place.astype(int), length - 1)
    share = place - low
    matrix = np.zeros((length, length), np.float32)
    rows = np.arange(length)
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, length - 1)] += share
    return matrix


def _line(length: int, factor: float) -> tuple[float, float]:
    """Where the first pixel of a zoomed line looks, and how far from it the next one does."""
    kept = ceil(length / factor)
    spread = round(kept * factor)
    first, trim = (length - kept) // 2, (spread - length) // 2
    step = (kept - 1) / (spread - 1)
    return first + trim * step, step


def zoomed(layers: Floats, factor: float) -> Floats:
    """float32 [n, h, w], zoomed into its middle."""
    height, width = layers.shape[1:3]
    return np.asarray(zoom_matrix(height, factor) @ layers @ zoom_matrix(width, factor).T, np.float32)


def zoomed_picture(image: Floats, factor: float) -> Floats:
    """float32 [h, w, c], zoomed into its middle: for large pictures faster than the matrices."""
    height, width = image.shape[:2]
    (top, down), (left, right) = _line(height, factor), _line(width, factor)
    look = np.array([[right, 0, left], [0, down, top]])
    bilinear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, look, (width, height), flags=bilinear, borderMode=cv2.BORDER_REPLICATE))
