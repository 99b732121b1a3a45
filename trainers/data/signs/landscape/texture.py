"""Noise with structure: what grass, clouds, walls and dirt are made of."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

HAZE: Color = (198, 208, 212)  # the color of far air


def floats(*values: float) -> Float:
    """The values as float32 [n]."""
    return np.array(values, np.float32)


def noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 3) -> Float:
    """Smooth noise: octaves of random grids, each twice as fine and 0.6 times as strong as the one before.

    Args:
        rng: source of the grids.
        height: pixels.
        width: pixels.
        cell: side in pixels of a square of the coarsest grid.
        octaves: number of grids.

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


def contrast(values: Float, gain: float) -> Float:
    """Spreads noise around its middle and clips it to 0..1; keeps shape and dtype."""
    return np.asarray(np.clip((values - 0.5) * np.float32(gain) + 0.5, 0, 1), np.float32)


def tint(values: Float, dark: Color, bright: Color) -> Bytes:
    """Colors noise: 0 becomes `dark`, 1 becomes `bright`.

    Args:
        values: float32 [h, w], in 0..1.
        dark: RGB, 0..255.
        bright: RGB, 0..255.

    Returns:
        uint8 [h, w, 3].
    """
    low, high = floats(*dark), floats(*bright)
    return (low + values[..., None] * (high - low)).astype(np.uint8)


def mix(under: Bytes, over: Bytes, share: Float) -> Bytes:
    """Lays `over` on `under`.

    Args:
        under: uint8 [h, w, 3].
        over: uint8 [h, w, 3].
        share: float32 [h, w], in 0..1: how much of `over` is seen.

    Returns:
        uint8 [h, w, 3].
    """
    below = under.astype(np.float32)
    return (below + share[..., None] * (over - below)).astype(np.uint8)


def vertical(height: int, width: int, top: Color, bottom: Color) -> Bytes:
    """A gradient from `top` to `bottom`: uint8 [height, width, 3]."""
    rows = np.linspace(0, 1, height, dtype=np.float32)
    return tint(np.repeat(rows[:, None], width, axis=1), top, bottom)


def scaled(picture: Bytes, factors: tuple[float, float, float, float]) -> Bytes:
    """Multiplies each channel of uint8 [h, w, 3 or 4] by its factor."""
    # OpenCV takes one number a channel; its stubs know arrays only
    return np.asarray(cv2.multiply(picture, factors), np.uint8)  # type: ignore[call-overload]


def cover(under: Bytes, seen: Bytes) -> None:
    """Lays a picture with coverage over `under`, in place, in whole numbers: a fifth of the time of floats.

    Args:
        under: uint8 [h, w, 3].
        seen: uint8 [h, w, 4]: RGB times coverage, and coverage.
    """
    clear = cv2.merge([cv2.bitwise_not(seen[..., 3])] * 3)
    cv2.add(cv2.multiply(under, clear, scale=1 / 255), cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB), dst=under)


def hazy(picture: Bytes, haze: Color, fog: float, share: float = 1.0) -> Bytes:
    """A picture with coverage, seen through air.

    Args:
        picture: uint8 [h, w, 4]: RGB times coverage, and coverage.
        haze: color of the air.
        fog: 0..1, how much of the air lies between.
        share: 0..1, how much of the picture has come out of the haze.

    Returns:
        uint8 [h, w, 4], of the same form.
    """
    clear = share * (1 - fog)
    red, green, blue = (share * fog * channel / 255 for channel in haze)
    matrix = [[clear, 0, 0, red], [0, clear, 0, green], [0, 0, clear, blue], [0, 0, 0, share]]
    return np.asarray(cv2.transform(picture, np.array(matrix)), np.uint8)
