"""Weather: snow, frost, fog and bright light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allweather.runtimes.preprocess import LUMA_WEIGHTS
from allweather.trainers.corruptions.blur import as_bytes
from allweather.trainers.corruptions.corruption import Corruption, Draw, Floats, Images, Rng
from allweather.trainers.corruptions.primitives.filters import brightest, colored
from allweather.trainers.corruptions.primitives.frost import TEXTURES, crops
from allweather.trainers.corruptions.primitives.motion_blur import motion_blur
from allweather.trainers.corruptions.primitives.plasma import plasma, plasma_side
from allweather.trainers.corruptions.primitives.zoom import zoomed

LUMA = np.array(LUMA_WEIGHTS, np.float32)

# -- snow ----------------------------------------------------------------------------------------------------------


def draw_snow(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Normal float32 [h, w] that flakes grow from, and the direction they fall in, -135 to -45 degrees."""
    return rng.standard_normal((height, width), np.float32), np.asarray(rng.uniform(-135, -45))


def snow(
    images: Images,
    layers: Floats,
    angles: npt.NDArray[np.float64],
    parameters: tuple[float, float, float, float, int, float, float],
) -> Images:
    """Falling flakes before a picture gone pale.

    parameters: mean and deviation of the layer, size of the flakes, the value from which it is a flake, radius and
    deviation of their streaks in pixels, what is left of the picture's own color.
    """
    mean, deviation, size, threshold, radius, streak, left = parameters
    flakes = zoomed(layers * np.float32(deviation) + np.float32(mean), size)
    flakes[flakes < threshold] = 0
    drops = as_bytes(flakes * 255)
    fallen = np.stack([motion_blur(drop, radius, streak, angle) for drop, angle in zip(drops, angles, strict=True)])
    fallen = np.floor(fallen + 0.5)
    fallen += fallen[:, ::-1, ::-1].copy()
    pale = (images @ LUMA) * 1.5 + 127.5
    out = np.maximum(images, colored(pale))
    out *= 1 - left
    out += np.float32(left) * images
    out += colored(fallen)
    return as_bytes(out)


# -- frost ---------------------------------------------------------------------------------------------------------


def draw_frost(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Which texture, and where in it from top to bottom and left to right, 0..1."""
    return np.asarray(rng.integers(TEXTURES)), rng.random(2)


def frost(
    images: Images,
    textures: npt.NDArray[np.int64],
    places: npt.NDArray[np.float64],
    parameters: tuple[float, float],
) -> Images:
    """Ice on the lens. parameters: what is left of the picture, and of the ice."""
    left, ice = parameters
    grown = crops(textures, places, images.shape[1], images.shape[2])
    return as_bytes(images * np.float32(left) + grown * np.float32(ice))


# -- fog and brightness --------------------------------------------------------------------------------------------


def draw_fog(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Uniform float32 [side, side] of -1..1 that the plasma is made of."""
    side = plasma_side(height, width)
    return (rng.random((side, side), np.float32) * 2 - 1,)


def fog(images: Images, wobbles: Floats, parameters: tuple[float, float]) -> Images:
    """Clouds of white. parameters: thickness, and how fast its detail fades."""
    thickness, decay = parameters
    count, height, width = images.shape[:3]
    veil = plasma(wobbles, decay)[:, :height, :width]
    top = images.reshape(count, -1).max(axis=1).astype(np.float32) / 255
    out = images + colored(np.float32(255 * thickness) * veil)
    out *= (top / (top + np.float32(thickness)))[:, None, None, None]
    return as_bytes(out)


def brightness(images: Images, more: float) -> Images:
    """Value (of hue, saturation, value) raised by `more` of 1: every color grows by the same factor."""
    top = brightest(images).astype(np.float32)
    factor = np.minimum(top + np.float32(255 * more), 255) / np.maximum(top, 1)
    black = np.where(top == 0, np.float32(255 * more), np.float32(0))
    out = images * colored(factor)
    out += colored(black + np.float32(1e-3))  # a product that should be whole may come out a little less
    return as_bytes(out)


SNOW = Corruption(
    "snow",
    "weather",
    True,
    small=(
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    large=(
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    apply=snow,
    draw=draw_snow,
)
FROST = Corruption(
    "frost",
    "weather",
    True,
    small=((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    large=((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    apply=frost,
    draw=draw_frost,
)
FOG = Corruption(
    "fog",
    "weather",
    True,
    small=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    large=((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    apply=fog,
    draw=draw_fog,
)
BRIGHTNESS = Corruption(
    "brightness",
    "weather",
    True,
    small=(0.05, 0.1, 0.15, 0.2, 0.3),
    large=(0.1, 0.2, 0.3, 0.4, 0.5),
    apply=brightness,
)
