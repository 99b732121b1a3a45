"""Textures of grass, clouds, walls and dirt from smooth noise, and operations on RGB and RGBA images.

RGBA images here have premultiplied alpha: their color channels hold RGB times alpha / 255.
"""

from __future__ import annotations

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image

Color = tuple[int, int, int]  # RGB, 0..255

HAZE: Color = (198, 208, 212)  # color of distant air


def float_array(*values: float) -> Floats:
    """Returns the values as float32 [n]."""
    return np.array(values, np.float32)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 3) -> Floats:
    """Makes value noise: the sum of random grids, each twice as fine and 0.6 times as strong as the one before.

    Args:
        rng: Source of the grids.
        height: Height in pixels.
        width: Width in pixels.
        cell: Side in pixels of a square of the coarsest grid.
        octaves: Number of grids.

    Returns:
        float32 [height, width], in 0..1, mean about 0.5.
    """
    total = np.zeros((height, width), np.float32)
    weight, weights = 1.0, 0.0
    for _ in range(octaves):
        rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
        grid = rng.random((rows, columns), np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        weights += weight
        weight, cell = weight * 0.6, max(1.0, cell / 2)
    return np.asarray(total / weights, np.float32)


def stretch_contrast(values: Floats, gain: float) -> Floats:
    """Multiplies the distance of each value from 0.5 by `gain` and clips to 0..1; keeps shape and dtype."""
    return np.asarray(np.clip((values - 0.5) * np.float32(gain) + 0.5, 0, 1), np.float32)


def colorize(values: Floats, dark: Color, bright: Color) -> Image:
    """Maps gray values to colors: 0 becomes `dark`, 1 becomes `bright`.

    Args:
        values: float32 [h, w], in 0..1.
        dark: RGB, 0..255.
        bright: RGB, 0..255.

    Returns:
        uint8 [h, w, 3].
    """
    low, high = float_array(*dark), float_array(*bright)
    return (low + values[..., None] * (high - low)).astype(np.uint8)


def blend(under: Image, over: Image, opacity: Floats) -> Image:
    """Blends two images.

    Args:
        under: uint8 [h, w, 3].
        over: uint8 [h, w, 3].
        opacity: float32 [h, w], in 0..1: weight of `over`.

    Returns:
        uint8 [h, w, 3].
    """
    below = under.astype(np.float32)
    return (below + opacity[..., None] * (over - below)).astype(np.uint8)


def vertical_gradient(height: int, width: int, top: Color, bottom: Color) -> Image:
    """Makes a gradient from the color `top` to the color `bottom`: uint8 [height, width, 3]."""
    rows = np.linspace(0, 1, height, dtype=np.float32)
    return colorize(np.repeat(rows[:, None], width, axis=1), top, bottom)


def scale_channels(image: Image, factors: tuple[float, float, float, float]) -> Image:
    """Multiplies each channel of uint8 [h, w, 3 or 4] by its factor."""
    # OpenCV takes one number per channel; its type stubs know only arrays
    return np.asarray(cv2.multiply(image, factors), np.uint8)  # type: ignore[call-overload]


def composite(canvas: Image, layer: Image) -> None:
    """Draws an RGBA image over `canvas`, in place; in integers, which takes a fifth of the time of floats.

    Args:
        canvas: uint8 [h, w, 3]; it is changed.
        layer: uint8 [h, w, 4], RGBA with premultiplied alpha.
    """
    transparency = cv2.merge([cv2.bitwise_not(layer[..., 3])] * 3)
    cv2.add(cv2.multiply(canvas, transparency, scale=1 / 255), cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), dst=canvas)


def add_haze(image: Image, haze: Color, fog: float, opacity: float = 1.0) -> Image:
    """Shows an RGBA image through hazy air.

    Args:
        image: uint8 [h, w, 4], RGBA with premultiplied alpha.
        haze: Color of the air.
        fog: Share of the color that the air hides, 0..1.
        opacity: Opacity of the whole image, 0..1; far objects fade in with it.

    Returns:
        uint8 [h, w, 4], RGBA with premultiplied alpha.
    """
    clear = opacity * (1 - fog)
    red, green, blue = (opacity * fog * channel / 255 for channel in haze)
    matrix = [[clear, 0, 0, red], [0, clear, 0, green], [0, 0, clear, blue], [0, 0, 0, opacity]]
    return np.asarray(cv2.transform(image, np.array(matrix)), np.uint8)
