"""The far view of the drive: sky, clouds, hills and the line of the woods, once round the horizon."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.camera import View
from allweather.trainers.data.signs.landscape.texture import Bytes, Float, contrast, mix, noise, tint, vertical

LAPS = 3  # widths of the picture until the panorama comes round


def _closed(picture: Bytes, overlap: int) -> Bytes:
    """Fades the last `overlap` columns into the first, so that the ends meet; cuts them off."""
    share = np.linspace(1, 0, overlap, dtype=np.float32)[None, :].repeat(len(picture), 0)
    picture[:, :overlap] = mix(picture[:, :overlap], picture[:, -overlap:], share)
    return picture[:, :-overlap]


def sky(rng: np.random.Generator, height: int, width: int) -> Bytes:
    """A sky with clouds, flat near the horizon: uint8 [height, width, 3]."""
    blue = (int(rng.integers(70, 104)), int(rng.integers(126, 152)), int(rng.integers(190, 216)))
    air = vertical(height, width, blue, (212, 221, 224))
    scale = max(height, width / 3)
    field = cv2.resize(noise(rng, 2 * height, width, scale / 2.2, 6), (width, height))
    clouds = contrast(field - np.float32(rng.uniform(-0.02, 0.08)), rng.uniform(3.2, 4.5))
    lit = tint(contrast(np.roll(field, height // 24, axis=0) - field, 6), (250, 249, 246), (206, 212, 220))
    return mix(air, lit, clouds * np.float32(0.85))


def _ridge(rng: np.random.Generator, width: int, low: float, high: float, cell: float, rough: int) -> Float:
    """Heights of a skyline in pixels: float32 [width]."""
    return np.asarray(low + (high - low) * contrast(noise(rng, 2, width, cell, rough), 1.6)[0], np.float32)


class Panorama:
    """The far view all round.

    Args:
        rng: source of clouds and hills.
        view: any view of the drive; its size and horizon count.
    """

    def __init__(self, rng: np.random.Generator, view: View) -> None:
        self.lap = LAPS * view.width
        self.rows = int(view.horizon) + 8
        wide = self.lap + view.width
        picture = sky(rng, self.rows, wide)
        unit = view.height / 360
        down = np.arange(self.rows, dtype=np.float32)[:, None]
        layers = (  # far to near: (lowest, highest, cell, roughness, dark, bright)
            (14, 44, 190, 4, (146, 166, 178), (164, 182, 190)),
            (8, 26, 110, 5, (112, 136, 132), (138, 156, 146)),
            (7, 15, 26, 6, (74, 98, 72), (110, 130, 92)),
        )
        for low, high, cell, rough, dark, bright in layers:
            skyline = _ridge(rng, wide, low * unit, high * unit, cell * unit, rough)
            inside = np.clip(down - (self.rows - 8 - skyline), 0, 1).astype(np.float32)
            woods = tint(contrast(noise(rng, self.rows, wide, 12 * unit, 4), 2), dark, bright)
            picture = mix(picture, woods, inside)
        closed = _closed(picture, view.width)
        self.picture: Bytes = np.hstack([closed, closed[:, : view.width + 1]])

    def paint(self, canvas: Bytes, view: View) -> None:
        """Paints the part that this view sees into the upper rows of uint8 [H, W, 3], in place."""
        begin = (view.heading * view.focal - (view.middle - view.width / 2)) % self.lap
        left = int(begin)
        down = view.horizon - (self.rows - 8)
        matrix = np.array([[1, 0, left - begin], [0, 1, down]])
        rows = min(view.height, int(view.horizon) + 2)
        piece = self.picture[:, left : left + view.width + 1]
        flags = cv2.INTER_LINEAR
        canvas[:rows] = cv2.warpAffine(piece, matrix, (view.width, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
