"""What the air does to a frame: fog that drifts, and snow that falls."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.texture import Color, float_array, smooth_noise

FOG: Color = (206, 211, 214)
FOG_ROWS, FOG_DEPTH = (0.0, 0.35, 0.5, 1.0), (0.97, 1.0, 1.0, 0.55)  # opacity by row: full around the horizon
FOG_DRIFT = 1.2  # pixels a frame, at 360 rows
MAX_FOG = 0.97
SNOW: Color = (226, 231, 236)
BORDER = 32  # pixels, at which falling flakes continue at the opposite border
DESIGN_ROWS = 360.0  # rows of the frame for which lengths in pixels are given


class _Layer(NamedTuple):
    """One layer of snow: flakes of one distance.

    Attributes:
        flakes: Number of flakes in the frame, at strength 1.
        radius: Mean radius in pixels.
        streak: Length in pixels that a flake moves while the shutter is open.
        opacity: Factor of the opacity of the streaks.
        down: Pixels that the flakes fall in a second.
        left: Pixels that the wind moves them in a second.
        blur: Standard deviation in pixels of the blur of flakes that are too near for the lens.
    """

    flakes: int
    radius: float
    streak: int
    opacity: float
    down: float
    left: float
    blur: float


LAYERS = (
    _Layer(1400, 0.9, 5, 1.6, 160, 40, 0.0),
    _Layer(420, 1.7, 9, 2.0, 330, 70, 0.0),
    _Layer(110, 3.6, 19, 2.2, 700, 150, 1.2),
)
SNOW_VEIL = 0.42  # at strength 1: opacity of the flakes that are too far away to be seen one by one
FPS = 30.0


def fog(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Covers a frame with fog, densest at the horizon and above it, in drifting swathes.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: Mean opacity at the horizon, 0 (none) to 1.
        index: Index of the frame in the drive.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = frame.shape[:2]
    drift = round(FOG_DRIFT * height / DESIGN_ROWS * index) % (2 * width)
    swathes = _swathes(seed, height, width)[:, drift : drift + width]
    depth = np.interp(np.linspace(0, 1, height), FOG_ROWS, FOG_DEPTH).astype(np.float32)[:, None]
    return _cover(frame, (strength * depth * swathes).clip(0, MAX_FOG), FOG)


def snow(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Covers a frame with falling snow: flakes of three distances, and a veil of those that are farther away.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) upwards; the number of flakes grows with it, and so does the opacity of the veil.
        index: Index of the frame in the drive.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = frame.shape[:2]
    scale, seconds = height / DESIGN_ROWS, index / FPS
    clear = np.full((height, width), (1 - SNOW_VEIL) ** strength, np.float32)
    for number, layer in enumerate(LAYERS):
        flakes = _flakes(seed, number, height, width, strength)
        fallen = (round(layer.down * scale * seconds), -round(layer.left * scale * seconds))
        clear *= 1 - np.roll(flakes, fallen, axis=(0, 1))
    return _cover(frame, 1 - clear, SNOW)


def _cover(frame: Image, opacity: Floats, color: Color) -> Image:
    """Covers uint8 [H, W, 3] with a color of the given opacity, float32 [H, W] in 0..1."""
    cover = opacity[..., None]
    return np.asarray(frame * (1 - cover) + cover * float_array(*color), np.uint8)


@lru_cache(maxsize=2)
def _swathes(seed: int, height: int, width: int) -> Floats:
    """Draws the factor of the fog's opacity, float32 [H, 3 W], mean 1; it repeats itself after 2 W columns."""
    noise = smooth_noise(np.random.default_rng([seed, 22]), height, width, 0.6 * height, 4)
    return np.asarray(0.86 + 0.28 * np.concatenate([noise, noise[:, ::-1], noise], axis=1), np.float32)


@lru_cache(maxsize=6)
def _flakes(seed: int, number: int, height: int, width: int, strength: float) -> Floats:
    """Draws the opacity of one layer of flakes, float32 [H, W]; it continues at the opposite borders."""
    layer, scale = LAYERS[number], height / DESIGN_ROWS
    rng = np.random.default_rng([seed, 21, number])
    count = round(layer.flakes * strength)
    places = rng.uniform((0, 0), (width, height), (count, 2))
    radii = np.maximum(0.5, layer.radius * scale * rng.uniform(0.6, 1.3, count))
    opacities = 255 * rng.uniform(0.6, 1, count)
    dots = np.zeros((height, width), np.uint8)
    for (x, y), radius, opacity in zip(places, radii, opacities, strict=True):
        cv2.circle(dots, (int(16 * x), int(16 * y)), int(16 * radius), float(opacity), -1, cv2.LINE_AA, 4)
    padded = np.pad(dots, BORDER, mode="wrap").astype(np.float32)
    side = max(3, round(layer.streak * scale) | 1)
    kernel = np.zeros((side, side), np.float32)
    cv2.line(kernel, (side // 2 + side // 6, 0), (side // 2 - side // 6, side - 1), 1.0, 1, cv2.LINE_AA)
    padded = np.asarray(cv2.filter2D(padded, -1, kernel / kernel.sum()), np.float32)
    if layer.blur:
        padded = np.asarray(cv2.GaussianBlur(padded, (0, 0), layer.blur * scale), np.float32)
    inner = padded[BORDER:-BORDER, BORDER:-BORDER]
    return np.asarray((inner / 255 * layer.opacity).clip(0, 0.95), np.float32)
