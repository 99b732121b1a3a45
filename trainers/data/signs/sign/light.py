"""The light on a picture and what the camera makes of it: gain, cast, slope, shadow, haze, blur and grain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Bytes, Float


@dataclass(frozen=True)
class Light:
    """Light and camera of one picture.

    Attributes:
        gain: RGB factors; their mean is the exposure.
        slope: change of the exposure from the middle to the right and to the lower edge.
        shadow: (direction in radians, distance of the edge from the middle, what is left of the light).
        haze: 0..1, share of pale air.
        blur: standard deviation of the blur, in parts of the side.
        smear: (length in parts of the side, direction in radians) of motion; length 0 for none.
        grain: standard deviation of the sensor's noise, 0..255.
    """

    gain: tuple[float, float, float]
    slope: tuple[float, float]
    shadow: tuple[float, float, float]
    haze: float
    blur: float
    smear: tuple[float, float]
    grain: float


def draw_light(rng: np.random.Generator) -> Light:
    """Draws the light of a picture: a factor 3 between dim and bright, a shadow's edge in every third."""
    exposure, shaded, left, turn, edge, haze, blur, moved, length, along, grain = (float(x) for x in rng.random(11))
    red, green, blue, across, down = (float(x) for x in rng.standard_normal(5))
    middle = -0.85 + 1.15 * exposure
    return Light(
        gain=(math.exp(middle + 0.06 * red), math.exp(middle + 0.06 * green), math.exp(middle + 0.06 * blue)),
        slope=(0.15 * across, 0.15 * down),
        shadow=(math.tau * turn, edge - 0.6, 0.4 + 0.35 * left if shaded < 0.35 else 1.0),
        haze=0.35 * haze**2,
        blur=0.026 * blur**1.5,
        smear=(0.03 + 0.06 * length if moved < 0.15 else 0.0, math.pi * along),
        grain=1 + 8 * grain**2,
    )


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[Float, Float]:
    """Columns [1, size] and rows [size, 1] from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return line[None, :], line[:, None]


def _exposure(light: Light, size: int) -> Float:
    """Factors of the light over the picture: float32 [size, size, 3]."""
    x, y = _grid(size)
    field = 1 + np.float32(light.slope[0]) * x + np.float32(light.slope[1]) * y
    turn, distance, left = light.shadow
    if left < 1:
        across = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y - np.float32(distance)
        field = field * (np.float32(left) + np.float32(1 - left) * np.clip(0.5 - 6 * across, 0, 1))
    field = np.clip(field, 0.15, 2)
    return np.asarray(cv2.merge([field * np.float32(gain) for gain in light.gain]), np.float32)


def _smear(picture: Bytes, length: float, turn: float) -> Bytes:
    """Averages five copies along a line of `length` pixels."""
    steps = np.linspace(-0.5, 0.5, 5) * length
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    for step in steps:
        kernel[side // 2 + round(step * np.sin(turn)), side // 2 + round(step * np.cos(turn))] += 0.2
    return np.asarray(cv2.filter2D(picture, -1, kernel), np.uint8)


def lit(picture: Bytes, light: Light, rng: np.random.Generator) -> Bytes:
    """What the camera records.

    Args:
        picture: uint8 [s, s, 3], in even light.
        light: light and camera.
        rng: of the grain.

    Returns:
        uint8 [s, s, 3].
    """
    size = len(picture)
    if light.blur * size > 0.25:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), light.blur * size), np.uint8)
    if light.smear[0] * size > 1:
        picture = _smear(picture, light.smear[0] * size, light.smear[1])
    air = 190 * light.haze * sum(light.gain) / 3
    normal = rng.standard_normal(picture.shape, np.float32)
    grain = cv2.addWeighted(normal, light.grain, normal, 0, air)
    clear = cv2.multiply(picture, _exposure(light, size), scale=1 - light.haze, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(clear, grain, dtype=cv2.CV_8U), np.uint8)
