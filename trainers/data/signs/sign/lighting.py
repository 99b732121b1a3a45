"""The light on an image and what the camera adds: exposure, color cast, shadow, haze, blur and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image


@dataclass(frozen=True)
class Lighting:
    """The light and the camera of one image.

    Attributes:
        gain: Factors of red, green and blue; their mean is the exposure.
        slope: Change of the exposure from the center to the right edge and to the lower edge.
        shadow: (direction in radians, distance of its edge from the center, share of the light that remains).
        haze: Share of the color that pale air hides, 0..1.
        blur: Standard deviation of the defocus blur, as a share of the image's side.
        motion: (length as a share of the side, direction in radians) of the motion blur; length 0 for none.
        grain: Standard deviation of the sensor noise, 0..255.
    """

    gain: tuple[float, float, float]
    slope: tuple[float, float]
    shadow: tuple[float, float, float]
    haze: float
    blur: float
    motion: tuple[float, float]
    grain: float


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """Samples the light of an image: a factor of 3 between dim and bright, and a shadow's edge in every third image."""
    exposure, shaded, remaining, turn, edge, haze, blur, moved, length, along, grain = (
        float(x) for x in rng.random(11)
    )
    red, green, blue, across, down = (float(x) for x in rng.standard_normal(5))
    middle = -0.85 + 1.15 * exposure
    return Lighting(
        gain=(math.exp(middle + 0.06 * red), math.exp(middle + 0.06 * green), math.exp(middle + 0.06 * blue)),
        slope=(0.15 * across, 0.15 * down),
        shadow=(math.tau * turn, edge - 0.6, 0.4 + 0.35 * remaining if shaded < 0.35 else 1.0),
        haze=0.35 * haze**2,
        blur=0.026 * blur**1.5,
        motion=(0.03 + 0.06 * length if moved < 0.15 else 0.0, math.pi * along),
        grain=1 + 8 * grain**2,
    )


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[Floats, Floats]:
    """Returns the coordinates of columns [1, size] and of rows [size, 1], from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return line[None, :], line[:, None]


def _exposure(lighting: Lighting, size: int) -> Floats:
    """Returns the factor of the light at each pixel and channel: float32 [size, size, 3]."""
    x, y = _grid(size)
    field = 1 + np.float32(lighting.slope[0]) * x + np.float32(lighting.slope[1]) * y
    direction, distance, remaining = lighting.shadow
    if remaining < 1:
        across = np.float32(np.cos(direction)) * x + np.float32(np.sin(direction)) * y - np.float32(distance)
        field = field * (np.float32(remaining) + np.float32(1 - remaining) * np.clip(0.5 - 6 * across, 0, 1))
    field = np.clip(field, 0.15, 2)
    return np.asarray(cv2.merge([field * np.float32(gain) for gain in lighting.gain]), np.float32)


def _motion_blur(image: Image, length: float, direction: float) -> Image:
    """Averages five shifted copies of an image along a line of `length` pixels in `direction` (radians)."""
    steps = np.linspace(-0.5, 0.5, 5) * length
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    for step in steps:
        kernel[side // 2 + round(step * np.sin(direction)), side // 2 + round(step * np.cos(direction))] += 0.2
    return np.asarray(cv2.filter2D(image, -1, kernel), np.uint8)


def apply_lighting(image: Image, lighting: Lighting, rng: np.random.Generator) -> Image:
    """Returns what the camera records of an image in this lighting.

    Args:
        image: uint8 [s, s, 3], in even lighting.
        lighting: Light and camera.
        rng: Source of the sensor noise.

    Returns:
        uint8 [s, s, 3].
    """
    size = len(image)
    if lighting.blur * size > 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), lighting.blur * size), np.uint8)
    if lighting.motion[0] * size > 1:
        image = _motion_blur(image, lighting.motion[0] * size, lighting.motion[1])
    air = 190 * lighting.haze * sum(lighting.gain) / 3
    normal = rng.standard_normal(image.shape, np.float32)
    grain = cv2.addWeighted(normal, lighting.grain, normal, 0, air)
    clear = cv2.multiply(image, _exposure(lighting, size), scale=1 - lighting.haze, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(clear, grain, dtype=cv2.CV_8U), np.uint8)
