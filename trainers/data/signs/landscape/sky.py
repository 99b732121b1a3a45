"""The distant view of the drive: sky, clouds, hills and the line of the woods, all around the horizon."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.camera import CameraPose
from allweather.trainers.data.signs.landscape.texture import (
    blend,
    colorize,
    smooth_noise,
    stretch_contrast,
    vertical_gradient,
)

WIDTHS_AROUND = 3  # widths of the image until the panorama repeats


def _close_loop(image: Image, overlap: int) -> Image:
    """Fades the last `overlap` columns into the first ones, so that the ends meet, and cuts the last ones off."""
    opacity = np.linspace(1, 0, overlap, dtype=np.float32)[None, :].repeat(len(image), 0)
    image[:, :overlap] = blend(image[:, :overlap], image[:, -overlap:], opacity)
    return image[:, :-overlap]


def draw_sky(rng: np.random.Generator, height: int, width: int) -> Image:
    """Draws a sky with clouds, which are flat near the horizon: uint8 [height, width, 3]."""
    blue = (int(rng.integers(70, 104)), int(rng.integers(126, 152)), int(rng.integers(190, 216)))
    air = vertical_gradient(height, width, blue, (212, 221, 224))
    scale = max(height, width / 3)
    field = cv2.resize(smooth_noise(rng, 2 * height, width, scale / 2.2, 6), (width, height))
    clouds = stretch_contrast(field - np.float32(rng.uniform(-0.02, 0.08)), rng.uniform(3.2, 4.5))
    slope = stretch_contrast(np.roll(field, height // 24, axis=0) - field, 6)
    sunlit = colorize(slope, (250, 249, 246), (206, 212, 220))
    return blend(air, sunlit, clouds * np.float32(0.85))


def _skyline(rng: np.random.Generator, width: int, low: float, high: float, cell: float, octaves: int) -> Floats:
    """Makes the heights of a skyline in pixels: float32 [width]."""
    heights = stretch_contrast(smooth_noise(rng, 2, width, cell, octaves), 1.6)[0]
    return np.asarray(low + (high - low) * heights, np.float32)


class Panorama:
    """The distant view in all directions.

    Args:
        rng: Source of clouds and hills.
        pose: Any pose of the drive; only its image size and horizon are used.
    """

    def __init__(self, rng: np.random.Generator, pose: CameraPose) -> None:
        self.around = WIDTHS_AROUND * pose.width  # pixels until it repeats
        self.rows = int(pose.horizon) + 8
        wide = self.around + pose.width
        image = draw_sky(rng, self.rows, wide)
        unit = pose.height / 360
        down = np.arange(self.rows, dtype=np.float32)[:, None]
        layers = (  # far to near: (lowest, highest, cell, octaves, dark, bright)
            (14, 44, 190, 4, (146, 166, 178), (164, 182, 190)),
            (8, 26, 110, 5, (112, 136, 132), (138, 156, 146)),
            (7, 15, 26, 6, (74, 98, 72), (110, 130, 92)),
        )
        for low, high, cell, octaves, dark, bright in layers:
            skyline = _skyline(rng, wide, low * unit, high * unit, cell * unit, octaves)
            inside = np.clip(down - (self.rows - 8 - skyline), 0, 1).astype(np.float32)
            woods = colorize(stretch_contrast(smooth_noise(rng, self.rows, wide, 12 * unit, 4), 2), dark, bright)
            image = blend(image, woods, inside)
        closed = _close_loop(image, pose.width)
        self.image: Image = np.hstack([closed, closed[:, : pose.width + 1]])

    def paint(self, canvas: Image, pose: CameraPose) -> None:
        """Paints the part that the camera sees into the upper rows of uint8 [H, W, 3], in place."""
        start = (pose.heading * pose.focal - (pose.middle - pose.width / 2)) % self.around
        left = int(start)
        down = pose.horizon - (self.rows - 8)
        matrix = np.array([[1, 0, left - start], [0, 1, down]])
        rows = min(pose.height, int(pose.horizon) + 2)
        part = self.image[:, left : left + pose.width + 1]
        flags = cv2.INTER_LINEAR
        canvas[:rows] = cv2.warpAffine(part, matrix, (pose.width, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
