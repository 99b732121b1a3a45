"""Weather: snow, frost, fog and bright light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allweather.runtimes.preprocess import LUMA_WEIGHTS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.blur import truncate_to_uint8
from allweather.trainers.corruptions.corruption import Array, Corruption, Rng
from allweather.trainers.corruptions.primitives.filters import max_channel, to_rgb
from allweather.trainers.corruptions.primitives.frost import NUM_SHEETS, crop_sheets
from allweather.trainers.corruptions.primitives.motion_blur import motion_blur
from allweather.trainers.corruptions.primitives.plasma import plasma_fractal, plasma_side
from allweather.trainers.corruptions.primitives.zoom import zoom_layers

LUMA = np.array(LUMA_WEIGHTS, np.float32)

# -- snow ----------------------------------------------------------------------------------------------------------


def draw_snow(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the normal noise that flakes are made of, float32 [h, w], and their direction, -135 to -45 degrees."""
    return rng.standard_normal((height, width), np.float32), np.asarray(rng.uniform(-135, -45))


def snow(
    images: Image,
    layers: Floats,
    angles: npt.NDArray[np.float64],
    parameters: tuple[float, float, float, float, int, float, float],
) -> Image:
    """Makes the images pale and adds falling flakes.

    Args:
        images: uint8 [n, h, w, 3].
        layers: float32 [n, h, w], from `draw_snow`.
        angles: float64 [n], direction in which the flakes fall, in degrees.
        parameters: Mean and standard deviation of the noise, zoom factor of the flakes, value above which there is a
            flake, radius and standard deviation of the motion blur in pixels, and share of the image's own color.
    """
    mean, deviation, zoom, threshold, radius, streak, share = parameters
    flakes = zoom_layers(layers * np.float32(deviation) + np.float32(mean), zoom)
    flakes[flakes < threshold] = 0
    sharp = truncate_to_uint8(flakes * 255)
    fallen = np.stack([motion_blur(layer, radius, streak, angle) for layer, angle in zip(sharp, angles, strict=True)])
    fallen = np.floor(fallen + 0.5)
    fallen += fallen[:, ::-1, ::-1].copy()
    pale = (images @ LUMA) * 1.5 + 127.5
    out = np.maximum(images, to_rgb(pale))
    out *= 1 - share
    out += np.float32(share) * images
    out += to_rgb(fallen)
    return truncate_to_uint8(out)


# -- frost ---------------------------------------------------------------------------------------------------------


def draw_frost(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the index of a sheet of ice, and where the crop starts from top to bottom and left to right, 0..1."""
    return np.asarray(rng.integers(NUM_SHEETS)), rng.random(2)


def frost(
    images: Image,
    sheets: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.float64],
    parameters: tuple[float, float],
) -> Image:
    """Adds ice on the lens.

    Args:
        images: uint8 [n, h, w, 3].
        sheets: int64 [n], index of the sheet of ice of each image.
        offsets: float64 [n, 2], 0..1, where the crop of the sheet starts.
        parameters: Weights of the image and of the ice.
    """
    image_weight, ice_weight = parameters
    ice = crop_sheets(sheets, offsets, images.shape[1], images.shape[2])
    return truncate_to_uint8(images * np.float32(image_weight) + ice * np.float32(ice_weight))


# -- fog and brightness --------------------------------------------------------------------------------------------


def draw_fog(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the uniform noise of -1..1 that the plasma fractal is made of: float32 [side, side]."""
    side = plasma_side(height, width)
    return (rng.random((side, side), np.float32) * 2 - 1,)


def fog(images: Image, noise: Floats, parameters: tuple[float, float]) -> Image:
    """Adds white clouds.

    Args:
        images: uint8 [n, h, w, 3].
        noise: float32 [n, side, side], -1..1, from `draw_fog`.
        parameters: Thickness of the fog, and the decay of its detail from scale to scale; see `plasma_fractal`.
    """
    thickness, decay = parameters
    count, height, width = images.shape[:3]
    clouds = plasma_fractal(noise, decay)[:, :height, :width]
    top = images.reshape(count, -1).max(axis=1).astype(np.float32) / 255
    out = images + to_rgb(np.float32(255 * thickness) * clouds)
    out *= (top / (top + np.float32(thickness)))[:, None, None, None]
    return truncate_to_uint8(out)


def brightness(images: Image, added: float) -> Image:
    """Raises the V of the HSV color space by `added`, 0..1: the channels of a pixel grow by the same factor."""
    top = max_channel(images).astype(np.float32)
    factor = np.minimum(top + np.float32(255 * added), 255) / np.maximum(top, 1)
    black = np.where(top == 0, np.float32(255 * added), np.float32(0))
    out = images * to_rgb(factor)
    out += to_rgb(black + np.float32(1e-3))  # a product that should be an integer may come out slightly less
    return truncate_to_uint8(out)


SNOW = Corruption(
    "snow",
    family="weather",
    common=True,
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
    family="weather",
    common=True,
    small=((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    large=((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    apply=frost,
    draw=draw_frost,
)
FOG = Corruption(
    "fog",
    family="weather",
    common=True,
    small=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    large=((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    apply=fog,
    draw=draw_fog,
)
BRIGHTNESS = Corruption(
    "brightness",
    family="weather",
    common=True,
    small=(0.05, 0.1, 0.15, 0.2, 0.3),
    large=(0.1, 0.2, 0.3, 0.4, 0.5),
    apply=brightness,
)
