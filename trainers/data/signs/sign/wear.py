"""The wear of a sign: over the years its face fades, gets dirty and is covered with stickers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.texture import Color, float_array, scale_channels

PALE, MUD = (188, 186, 180), (92, 80, 64)  # RGB


@dataclass(frozen=True)
class Wear:
    """The wear of one sign.

    Attributes:
        fading: How far the colors have faded towards a pale gray, 0..1.
        dirt: float32 [5, 5], 0..1: strength of the dirt over the face; it is interpolated between these points.
        stickers: float32 [n, 7]: center x and y (-1..1), half width and half height, RGB 0..255.
    """

    fading: float
    dirt: Floats
    stickers: Floats


_STICKER_LOW = float_array(-0.6, -0.6, 0.06, 0.06, 10, 10, 10)
_STICKER_HIGH = float_array(0.6, 0.6, 0.17, 0.17, 250, 250, 250)


def sample_wear(rng: np.random.Generator, strength: float = 1.0) -> Wear:
    """Samples the wear of a sign.

    Args:
        rng: Source of the random numbers.
        strength: 0 for a new sign, 1 for the usual mix of new and old signs.
    """
    fade, grime, sticker = rng.random(3)
    dirt = rng.random((5, 5), np.float32) ** 3 * np.float32(strength * 0.8 * grime**1.5)
    count = int(rng.integers(1, 4)) if sticker < 0.25 * strength else 0
    stickers = _STICKER_LOW + (_STICKER_HIGH - _STICKER_LOW) * rng.random((count, 7), np.float32)
    return Wear(strength * 0.45 * fade**2, dirt, stickers)


def _uniform(alpha: Image, color: Color) -> Image:
    """Returns an image of one color with this alpha channel: uint8 [s, s, 4], RGBA with premultiplied alpha."""
    red, green, blue = (channel / 255 for channel in color)
    return scale_channels(np.asarray(cv2.merge([alpha] * 4), np.uint8), (red, green, blue, 1.0))


def apply_wear(face: Image, wear: Wear) -> Image:
    """Draws wear onto the face of a sign.

    Args:
        face: uint8 [s, s, 4], RGBA with premultiplied alpha; it is not changed.
        wear: Fading, dirt and stickers.

    Returns:
        uint8 [s, s, 4], RGBA with premultiplied alpha.
    """
    side, alpha = len(face), face[..., 3]
    image: Image = face.copy()
    if wear.fading > 0.02:
        pale = _uniform(alpha, PALE)
        image = np.asarray(cv2.addWeighted(image, 1 - wear.fading, pale, wear.fading, 0), np.uint8)
    for sticker in wear.stickers:
        x, y, width, height = (float(value) * side / 2 for value in sticker[:4])
        corners = [(x - width, y - height), (x + width, y + height)]
        start, end = ((round(column + side / 2), round(row + side / 2)) for column, row in corners)
        cv2.rectangle(image, start, end, (*(float(value) for value in sticker[4:]), 255.0), -1)
    if wear.dirt.max() > 0.03:
        dirt = cv2.resize(wear.dirt, (side, side), interpolation=cv2.INTER_LINEAR)
        mud = _uniform(image[..., 3], MUD)
        image = np.asarray(cv2.blendLinear(image, mud, 1 - dirt, dirt), np.uint8)
    return image
