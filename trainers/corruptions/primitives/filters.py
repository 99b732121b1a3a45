"""Filters over whole batches: pictures are padded, laid on one strip, filtered in one call and cut apart again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from allweather.trainers.corruptions.corruption import Draw, Floats, Images


def colored(layers: Floats, color: tuple[float, float, float] = (1, 1, 1)) -> Floats:
    """[n, h, w] times a color, [n, h, w, 3]; numpy is slow at loops over three, so each color is one long loop."""
    out = np.empty((*layers.shape, 3), np.float32)
    for place, value in enumerate(color):
        np.multiply(layers, np.float32(value), out=out[..., place])
    return out


def brightest(images: Images) -> Images:
    """The largest of each pixel's colors, [n, h, w]: 50 times as fast as `max` along an axis of three."""
    return np.asarray(np.maximum(np.maximum(images[..., 0], images[..., 1]), images[..., 2]))


def over_strip(batch: Draw, border: int, kind: int, run: Callable[[Draw], Draw]) -> Floats:
    """Filters each picture as if it stood alone.

    Args:
        batch: [n, h, w] or [n, h, w, c].
        border: pixels that the filter looks beyond the edge.
        kind: what it finds there, as cv2.BORDER_*.
        run: one call on a picture [H, W] or [H, W, c] that gives one of the same size; its own border is cut off.

    Returns:
        float32, the shape of `batch`.
    """
    count, height, width = batch.shape[:3]
    padded = np.empty((count, height + 2 * border, width + 2 * border, *batch.shape[3:]), batch.dtype)
    for picture, room in zip(batch, padded, strict=True):
        cv2.copyMakeBorder(picture, border, border, border, border, kind, dst=room)
    strip = padded.reshape(count * (height + 2 * border), width + 2 * border, *batch.shape[3:])
    filtered = np.asarray(run(strip), np.float32).reshape(padded.shape)
    return np.asarray(filtered[:, border : border + height, border : border + width])


def gaussian(batch: Draw, deviation: float, kind: int, truncate: float = 4.0) -> Floats:
    """Gaussian blur of float32 [n, h, w] or [n, h, w, c], cut off at `truncate` deviations."""
    radius = int(truncate * deviation + 0.5)
    kernel = gaussian_kernel(deviation, radius)
    return over_strip(batch, radius, kind, lambda strip: cv2.sepFilter2D(strip, cv2.CV_32F, kernel, kernel))


@lru_cache(maxsize=64)
def gaussian_kernel(deviation: float, radius: int) -> Floats:
    """float32 [2 * radius + 1], of sum 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


@lru_cache(maxsize=16)
def gaussian_matrix(length: int, deviation: float, truncate: float) -> Floats:
    """The blur of a line as a matrix, float32 [length, length], reflecting at the edges.

    For kernels wider than the picture, where a filter would look over its edge again and again.
    """
    radius = int(truncate * deviation + 0.5)
    kernel = gaussian_kernel(deviation, radius)
    matrix = np.zeros((length, length), np.float32)
    rows = np.arange(length)
    for offset, weight in zip(range(-radius, radius + 1), kernel, strict=True):
        place = np.mod(rows + offset, 2 * length)
        np.add.at(matrix, (rows, np.where(place < length, place, 2 * length - 1 - place)), weight)
    return matrix
