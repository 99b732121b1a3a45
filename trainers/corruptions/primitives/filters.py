"""Filters over batches: images are padded, stacked into one tall image, filtered in one call and cut apart again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.corruption import Array


def to_rgb(layers: Floats, color: tuple[float, float, float] = (1, 1, 1)) -> Floats:
    """Multiplies gray layers [n, h, w] by a color: float32 [n, h, w, 3].

    numpy is slow at loops over three channels, so each channel is computed in one long loop.
    """
    out = np.empty((*layers.shape, 3), np.float32)
    for channel, value in enumerate(color):
        np.multiply(layers, np.float32(value), out=out[..., channel])
    return out


def max_channel(images: Image) -> Image:
    """Returns the largest channel of each pixel, [n, h, w]; 50 times as fast as `max` along an axis of three."""
    return np.asarray(np.maximum(np.maximum(images[..., 0], images[..., 1]), images[..., 2]))


def filter_batch(batch: Array, border: int, border_mode: int, run: Callable[[Array], Array]) -> Floats:
    """Filters each image as if it were filtered alone.

    Args:
        batch: [n, h, w] or [n, h, w, c].
        border: Number of pixels beyond the edge that the filter uses.
        border_mode: How those pixels are filled, as cv2.BORDER_*.
        run: Filter of an image [H, W] or [H, W, c] that returns one of the same size.

    Returns:
        float32, the shape of `batch`.
    """
    count, height, width = batch.shape[:3]
    padded = np.empty((count, height + 2 * border, width + 2 * border, *batch.shape[3:]), batch.dtype)
    for image, target in zip(batch, padded, strict=True):
        cv2.copyMakeBorder(image, border, border, border, border, border_mode, dst=target)
    stacked = padded.reshape(count * (height + 2 * border), width + 2 * border, *batch.shape[3:])
    filtered = np.asarray(run(stacked), np.float32).reshape(padded.shape)
    return np.asarray(filtered[:, border : border + height, border : border + width])


def gaussian_filter(batch: Array, deviation: float, border_mode: int, truncate: float = 4.0) -> Floats:
    """Blurs float32 [n, h, w] or [n, h, w, c] by a Gaussian.

    Args:
        batch: Images to blur.
        deviation: Standard deviation of the Gaussian in pixels.
        border_mode: How pixels beyond the edge are filled, as cv2.BORDER_*.
        truncate: Number of standard deviations at which the Gaussian is cut off.

    Returns:
        float32, the shape of `batch`.
    """
    radius = int(truncate * deviation + 0.5)
    kernel = gaussian_kernel(deviation, radius)
    return filter_batch(batch, radius, border_mode, lambda image: cv2.sepFilter2D(image, cv2.CV_32F, kernel, kernel))


@lru_cache(maxsize=64)
def gaussian_kernel(deviation: float, radius: int) -> Floats:
    """Returns the weights of a Gaussian, float32 [2 * radius + 1], whose sum is 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


@lru_cache(maxsize=16)
def gaussian_matrix(length: int, deviation: float, truncate: float) -> Floats:
    """Returns the Gaussian blur of a line as a matrix, float32 [length, length], reflecting at the edges.

    It is for kernels wider than the image, which reach beyond its edges several times.
    """
    radius = int(truncate * deviation + 0.5)
    kernel = gaussian_kernel(deviation, radius)
    matrix = np.zeros((length, length), np.float32)
    rows = np.arange(length)
    for offset, weight in zip(range(-radius, radius + 1), kernel, strict=True):
        column = np.mod(rows + offset, 2 * length)
        np.add.at(matrix, (rows, np.where(column < length, column, 2 * length - 1 - column)), weight)
    return matrix
