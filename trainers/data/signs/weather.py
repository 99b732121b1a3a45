"""Bad stretches of a drive: darkness, noise and blur, as pure functions of a frame."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Bytes, floats

STRETCHES = ("clean", "dark", "noise", "blur")
_ORDER = ("clean", "dark", "clean", "noise", "clean", "blur")


def schedule(frames: int) -> tuple[str, ...]:
    """The stretch of every frame: six equal parts, each second one bad."""
    return tuple(_ORDER[number * len(_ORDER) // frames] for number in range(frames))


def _normal(shape: tuple[int, ...], rng: np.random.Generator, spread: float) -> np.ndarray:
    """Normal noise of that standard deviation: float32 [H, W, 3]; two thirds of it are gray."""
    gray = rng.standard_normal(shape[:2], np.float32)
    color = rng.standard_normal((shape[0] // 2 + 1, shape[1] // 2 + 1, 3), np.float32)
    coarse = cv2.resize(color, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.addWeighted(cv2.merge([gray] * 3), 0.8 * spread, coarse, 0.6 * spread, 0))


def darken(frame: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    """Dusk: less light, bluer, and the sensor's noise comes out of it.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (night).
        rng: of the noise.

    Returns:
        uint8 [H, W, 3].
    """
    left = (1 - strength) ** 2
    dim = frame * floats(left * (1 - 0.15 * strength), left * (1 - 0.05 * strength), left)
    return np.asarray(cv2.add(dim, _normal(frame.shape, rng, 20 * strength), dtype=cv2.CV_8U), np.uint8)


def add_noise(frame: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    """A noisy sensor.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (standard deviation 100 of 255).
        rng: of the noise.

    Returns:
        uint8 [H, W, 3].
    """
    return np.asarray(cv2.add(frame, _normal(frame.shape, rng, 100 * strength), dtype=cv2.CV_8U), np.uint8)


def blur(frame: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    """A lens out of focus; its strength breathes by a tenth.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) to 1 (standard deviation of a 60th of the height).
        rng: of the breathing.

    Returns:
        uint8 [H, W, 3].
    """
    spread = strength * len(frame) / 60 * rng.uniform(0.9, 1.1)
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), spread), np.uint8) if spread > 0 else frame.copy()


# each costs a ResNet-20, trained on the clean splits, 15 to 25 points of accuracy on the crops of the signs
DARK, NOISE, BLUR = 0.62, 0.88, 0.39


def apply(frame: Bytes, stretch: str, rng: np.random.Generator) -> Bytes:
    """The frame as the camera delivers it in that stretch.

    Args:
        frame: uint8 [H, W, 3], RGB, clean.
        stretch: one of `STRETCHES`.
        rng: of the noise.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: there is no such stretch.
    """
    if stretch == "clean":
        return frame
    if stretch == "dark":
        return darken(frame, DARK, rng)
    if stretch == "noise":
        return add_noise(frame, NOISE, rng)
    if stretch == "blur":
        return blur(frame, BLUR, rng)
    raise ValueError(f"stretch must be one of {', '.join(STRETCHES)}; got {stretch!r}")
