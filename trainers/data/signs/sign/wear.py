"""What years by the road do to the face of a sign: it fades, gets dirty, and collects stickers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Bytes, Color, Float, floats, scaled

PALE, MUD = (188, 186, 180), (92, 80, 64)


@dataclass(frozen=True)
class Wear:
    """The state of one face.

    Attributes:
        fading: 0..1, how far colors have gone towards a pale gray.
        dirt: float32 [5, 5], 0..1: strength of the dirt over the face, to be spread smoothly.
        stickers: float32 [n, 7]: center x and y (-1..1), half width and height, RGB 0..255.
    """

    fading: float
    dirt: Float
    stickers: Float


_STICKER_LOW = floats(-0.6, -0.6, 0.06, 0.06, 10, 10, 10)
_STICKER_HIGH = floats(0.6, 0.6, 0.17, 0.17, 250, 250, 250)


def draw_wear(rng: np.random.Generator, strength: float = 1.0) -> Wear:
    """Draws a state; `strength` 0 is a new sign, 1 the usual mix of new and old ones."""
    fade, grime, sticker = rng.random(3)
    dirt = rng.random((5, 5), np.float32) ** 3 * np.float32(strength * 0.8 * grime**1.5)
    number = int(rng.integers(1, 4)) if sticker < 0.25 * strength else 0
    stickers = _STICKER_LOW + (_STICKER_HIGH - _STICKER_LOW) * rng.random((number, 7), np.float32)
    return Wear(strength * 0.45 * fade**2, dirt, stickers)


def _plain(coverage: Bytes, color: Color) -> Bytes:
    """One color with the given coverage: uint8 [s, s, 4]."""
    red, green, blue = (channel / 255 for channel in color)
    return scaled(np.asarray(cv2.merge([coverage] * 4), np.uint8), (red, green, blue, 1.0))


def worn(face: Bytes, wear: Wear) -> Bytes:
    """A face in the given state.

    Args:
        face: uint8 [s, s, 4]: RGB times coverage, and coverage.
        wear: the state.

    Returns:
        uint8 [s, s, 4], of the same form.
    """
    side, coverage = len(face), face[..., 3]
    picture: Bytes = face.copy()
    if wear.fading > 0.02:
        pale = _plain(coverage, PALE)
        picture = np.asarray(cv2.addWeighted(picture, 1 - wear.fading, pale, wear.fading, 0), np.uint8)
    for sticker in wear.stickers:
        x, y, wide, high = (float(value) * side / 2 for value in sticker[:4])
        begin, end = (x - wide, y - high), (x + wide, y + high)
        corners = [(round(place[0] + side / 2), round(place[1] + side / 2)) for place in (begin, end)]
        cv2.rectangle(picture, corners[0], corners[1], (*(float(value) for value in sticker[4:]), 255.0), -1)
    if wear.dirt.max() > 0.03:
        dirt = cv2.resize(wear.dirt, (side, side), interpolation=cv2.INTER_LINEAR)
        mud = _plain(picture[..., 3], MUD)
        picture = np.asarray(cv2.blendLinear(picture, mud, 1 - dirt, dirt), np.uint8)
    return picture
