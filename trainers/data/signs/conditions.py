"""Conditions of a drive that make signs hard to read: darkness, noise and blur, as pure functions of a frame."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.texture import float_array

CONDITIONS = ("clean", "dark", "noise", "blur")
_SCHEDULE = ("clean", "dark", "clean", "noise", "clean", "blur")


def condition_schedule(frames: int) -> tuple[str, ...]:
    """Returns the condition of every frame: six equal parts, every second of which is not clean."""
    return tuple(_SCHEDULE[index * len(_SCHEDULE) // frames] for index in range(frames))


def _sensor_noise(shape: tuple[int, ...], rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Returns normal noise of this standard deviation: float32 [H, W, 3]; two thirds of its variance are gray."""
    gray = rng.standard_normal(shape[:2], np.float32)
    color = rng.standard_normal((shape[0] // 2 + 1, shape[1] // 2 + 1, 3), np.float32)
    coarse = cv2.resize(color, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.addWeighted(cv2.merge([gray] * 3), 0.8 * deviation, coarse, 0.6 * deviation, 0))


def darken(frame: Image, strength: float, rng: np.random.Generator) -> Image:
    """Darkens a frame as dusk does: less light, bluer, with visible sensor noise.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (night).
        rng: Source of the noise.

    Returns:
        uint8 [H, W, 3].
    """
    light = (1 - strength) ** 2
    dim = frame * float_array(light * (1 - 0.15 * strength), light * (1 - 0.05 * strength), light)
    return np.asarray(cv2.add(dim, _sensor_noise(frame.shape, rng, 20 * strength), dtype=cv2.CV_8U), np.uint8)


def add_noise(frame: Image, strength: float, rng: np.random.Generator) -> Image:
    """Adds the noise of a bad sensor.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (standard deviation 100 of 255).
        rng: Source of the noise.

    Returns:
        uint8 [H, W, 3].
    """
    return np.asarray(cv2.add(frame, _sensor_noise(frame.shape, rng, 100 * strength), dtype=cv2.CV_8U), np.uint8)


def blur(frame: Image, strength: float, rng: np.random.Generator) -> Image:
    """Blurs a frame as a lens out of focus does; the blur varies randomly by a tenth.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (standard deviation of a 60th of the height).
        rng: Source of the variation.

    Returns:
        uint8 [H, W, 3].
    """
    deviation = strength * len(frame) / 60 * rng.uniform(0.9, 1.1)
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), deviation), np.uint8) if deviation > 0 else frame.copy()


# strengths; each costs a ResNet-20, trained on the clean splits, 15 to 25 points of accuracy on crops of the signs
DARK, NOISE, BLUR = 0.62, 0.88, 0.39


def apply_condition(frame: Image, condition: str, rng: np.random.Generator) -> Image:
    """Returns the frame as the camera records it under a condition.

    Args:
        frame: uint8 [H, W, 3], RGB, clean.
        condition: One of `CONDITIONS`.
        rng: Source of the noise.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: There is no such condition.
    """
    if condition == "clean":
        return frame
    if condition == "dark":
        return darken(frame, DARK, rng)
    if condition == "noise":
        return add_noise(frame, NOISE, rng)
    if condition == "blur":
        return blur(frame, BLUR, rng)
    raise ValueError(f"condition must be one of {', '.join(CONDITIONS)}; got {condition!r}")
