"""Plasma fractals: random clouds, computed by the diamond-square algorithm.

Squares are halved again and again; each new point is the mean of its four corners plus a random number.
"""

from __future__ import annotations

import numpy as np

from allweather.runtimes.types import Floats


def plasma_side(height: int, width: int) -> int:
    """Returns the smallest power of two that is at least as large as both sides of an image."""
    return 1 << (max(height, width) - 1).bit_length()


def plasma_fractal(noise: Floats, decay: float) -> Floats:
    """Makes clouds that continue beyond their edges, as on a torus.

    Args:
        noise: float32 [n, side, side], -1..1: the random number of each point; side is a power of two.
        decay: From each scale to the next finer one, the noise is divided by the square of `decay`.

    Returns:
        float32 [n, side, side]; the values of each cloud go from 0 to 1.
    """
    side = noise.shape[1]
    clouds = np.zeros_like(noise)
    step, amplitude = side, 1.0
    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        below = corners + np.roll(corners, -1, axis=1)
        centers = (below + np.roll(below, -1, axis=2)) / 4 + amplitude * noise[:, half::step, half::step]
        clouds[:, half::step, half::step] = centers
        beside = corners + np.roll(corners, -1, axis=2) + centers + np.roll(centers, 1, axis=1)
        clouds[:, ::step, half::step] = beside / 4 + amplitude * noise[:, ::step, half::step]
        above = corners + np.roll(corners, -1, axis=1) + centers + np.roll(centers, 1, axis=2)
        clouds[:, half::step, ::step] = above / 4 + amplitude * noise[:, half::step, ::step]
        step, amplitude = half, amplitude / decay**2
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    clouds /= clouds.max(axis=(1, 2), keepdims=True)
    return clouds
