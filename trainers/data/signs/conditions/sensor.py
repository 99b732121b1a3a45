"""What the sensor does to a frame: too little light at dusk, and noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.texture import float_array

DUSK_TINT = (0.9, 0.95, 1.0)  # of red, green and blue: what is left of the light comes from the sky
DUSK_LIGHT, DUSK_DEVIATION = 0.75, 20.0  # at strength 1: share of the light that is gone, and the noise of the gain
NOISE_DEVIATION = 100.0  # at strength 1, of 255
MARGIN = 64  # pixels by which the field of noise is larger than a frame


def dusk(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Darkens a frame as dusk does: less light, bluer, and the noise of a sensor at high gain.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (day) upwards; 1 leaves a quarter of the light.
        index: Index of the frame in the drive.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    light = np.float32((1 - DUSK_LIGHT) ** strength)
    dim = frame * (float_array(*DUSK_TINT) ** np.float32(strength) * light)
    return _add(dim, _sensor_noise(frame.shape, index, seed), DUSK_DEVIATION * strength)


def add_noise(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Adds the noise of a bad sensor.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) upwards; 1 is a standard deviation of 100 of 255.
        index: Index of the frame in the drive.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    return _add(frame, _sensor_noise(frame.shape, index, seed), NOISE_DEVIATION * strength)


def _add(frame: np.ndarray, noise: Floats, deviation: float) -> Image:
    return np.asarray(cv2.scaleAdd(noise, deviation, np.asarray(frame, np.float32)).clip(0, 255), np.uint8)


def _sensor_noise(shape: tuple[int, ...], index: int, seed: int) -> Floats:
    """Returns noise of standard deviation 1 for a frame, float32 [H, W, 3]: a part of a field that all frames share."""
    rng = np.random.default_rng([seed, 14, index])
    field = _noise_field(seed, shape[0] + MARGIN, shape[1] + MARGIN)[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
    top, left = rng.integers(0, MARGIN, 2)
    return np.ascontiguousarray(field[top : top + shape[0], left : left + shape[1]])


@lru_cache(maxsize=2)
def _noise_field(seed: int, height: int, width: int) -> Floats:
    """Draws normal noise; two thirds of its variance are gray, the rest is color in squares of two by two pixels."""
    rng = np.random.default_rng([seed, 15])
    gray = rng.standard_normal((height, width, 1), np.float32)
    color = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), np.float32)
    coarse = np.asarray(cv2.resize(color, (width, height), interpolation=cv2.INTER_NEAREST))
    return np.asarray(0.8 * gray + 0.6 * coarse, np.float32)
