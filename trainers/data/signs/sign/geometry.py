"""Where the corners of a sign that stands in the world fall in the picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float32]

EYE = 4.5  # distance of the eye in half sides of the sign: the strength of perspective in a close look


def square(yaw: float, pitch: float, roll: float) -> list[tuple[float, float, float]]:
    """The corners of a turned square, clockwise from the upper left, half a side = 1.

    Args:
        yaw: turn about the upright axis, radians.
        pitch: turn about the horizontal axis, radians.
        roll: turn in the plane of the picture, radians; this one comes first.

    Returns:
        Four corners: x to the right, y down, z away from the eye.
    """
    corners = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        right = x * math.cos(roll) - y * math.sin(roll)
        down = x * math.sin(roll) + y * math.cos(roll)
        away = down * math.sin(pitch)
        corners.append(
            (
                right * math.cos(yaw) + away * math.sin(yaw),
                down * math.cos(pitch),
                away * math.cos(yaw) - right * math.sin(yaw),
            )
        )
    return corners


def seen(yaw: float, pitch: float, roll: float) -> Corners:
    """The corners of a turned square as an eye at `EYE` sees them: float32 [4, 2], about -1..1."""
    points = [(x * EYE / (EYE + z), y * EYE / (EYE + z)) for x, y, z in square(yaw, pitch, roll)]
    return np.array(points, np.float32)


def of_face(side: int) -> Corners:
    """The corners of a face of `side` pixels, in the same order: float32 [4, 2]."""
    end = side - 0.5
    return np.array([(-0.5, -0.5), (end, -0.5), (end, end), (-0.5, end)], np.float32)
