"""Plasma: clouds made by halving squares and diamonds, each new point the mean of its four corners plus chance."""

from __future__ import annotations

import numpy as np

from allweather.trainers.corruptions.corruption import Floats


def plasma_side(height: int, width: int) -> int:
    """The smallest power of two that covers a picture."""
    return 1 << (max(height, width) - 1).bit_length()


def plasma(wobbles: Floats, decay: float) -> Floats:
    """Clouds that go on beyond their edges as on a torus.

    Args:
        wobbles: float32 [n, side, side], -1..1: the chance in each point; side is a power of two.
        decay: by the square of it chance shrinks from each scale to the next.

    Returns:
        float32 [n, side, side], each from 0 to 1.
    """
    side = wobbles.shape[1]
    clouds = np.zeros_like(wobbles)
    step, amplitude = side, 1.0
    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        below = corners + np.roll(corners, -1, axis=1)
        centers = (below + np.roll(below, -1, axis=2)) / 4 + amplitude * wobbles[:, half::step, half::step]
        clouds[:, half::step, half::step] = centers
        beside = corners + np.roll(corners, -1, axis=2) + centers + np.roll(centers, 1, axis=1)
        clouds[:, ::step, half::step] = beside / 4 + amplitude * wobbles[:, ::step, half::step]
        above = corners + np.roll(corners, -1, axis=1) + centers + np.roll(centers, 1, axis=2)
        clouds[:, half::step, ::step] = above / 4 + amplitude * wobbles[:, half::step, ::step]
        step, amplitude = half, amplitude / decay**2
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    clouds /= clouds.max(axis=(1, 2), keepdims=True)
    return clouds
