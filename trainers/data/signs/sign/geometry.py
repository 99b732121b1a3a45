"""Projects the corners of a sign that stands in the world into the image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float32]  # [4, 2], columns and rows, clockwise from the upper left

EYE_DISTANCE = 4.5  # from eye to sign in half sides of the sign: the strength of perspective when a sign is close


def rotated_square(yaw: float, pitch: float, roll: float) -> list[tuple[float, float, float]]:
    """Returns the corners of a rotated square whose half side is 1, clockwise from the upper left.

    Args:
        yaw: Rotation about the vertical axis, in radians.
        pitch: Rotation about the horizontal axis, in radians.
        roll: Rotation in the plane of the image, in radians; it is applied first.

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


def project_square(yaw: float, pitch: float, roll: float) -> Corners:
    """Projects a rotated square for an eye at `EYE_DISTANCE`: float32 [4, 2], about -1..1."""
    points = [
        (x * EYE_DISTANCE / (EYE_DISTANCE + z), y * EYE_DISTANCE / (EYE_DISTANCE + z))
        for x, y, z in rotated_square(yaw, pitch, roll)
    ]
    return np.array(points, np.float32)


def image_corners(side: int) -> Corners:
    """Returns the corners of a square image of `side` pixels, in the same order: float32 [4, 2]."""
    end = side - 0.5
    return np.array([(-0.5, -0.5), (end, -0.5), (end, end), (-0.5, end)], np.float32)
