"""Frost on the lens: sheets of ice crystals, which are drawn instead of photographed.

Each sheet starts as random needles. The amplitudes of its spectrum are then set to measured ones; the phases, and so
the shapes of the needles, stay. The result is colored by a ramp from its darkest to its lightest parts. Ramps and
spectra are those of the frost in CIFAR-10-C, taken from the difference between its images and the clean ones. A sheet
that is computed from a discrete spectrum is periodic, so it continues beyond its edges and covers an image of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.corruption import SMALL_BELOW

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)  # share of a sheet that is darker than each color of its ramp
FREQUENCIES = (0.02, 0.035, 0.075, 0.15, 0.25, 0.35, 0.45, 0.6)  # cycles per pixel of small images
LARGE_SCALE = 5  # sheets for large images show the same ice this many times larger
SMALL_SIDE, LARGE_SIDE = 256, 640  # pixels, of the sheets for small and for large images
SEED = 19


@dataclass(frozen=True)
class Ice:
    """The appearance of one kind of ice.

    Attributes:
        power: Power of its spectrum at `FREQUENCIES`.
        red: Red values, 0..255, at `QUANTILES` of its brightness.
        green: Green values at the same quantiles.
        blue: Blue values at the same quantiles.
    """

    power: tuple[int, ...]
    red: tuple[int, ...]
    green: tuple[int, ...]
    blue: tuple[int, ...]


DARK = Ice(
    (14000, 9600, 4600, 1840, 960, 720, 625, 550),
    (34, 54, 70, 90, 113, 136, 177),
    (45, 66, 82, 102, 125, 148, 188),
    (57, 79, 95, 115, 137, 159, 198),
)
TEAL = Ice(
    (14000, 7100, 1020, 226, 116, 103, 92, 87),
    (39, 50, 58, 69, 85, 103, 136),
    (119, 129, 137, 146, 156, 165, 183),
    (139, 149, 156, 165, 172, 179, 192),
)
BLUE = Ice(
    (20000, 9500, 1890, 760, 600, 520, 467, 430),
    (68, 102, 122, 140, 156, 171, 210),
    (82, 127, 143, 159, 173, 187, 226),
    (91, 139, 155, 171, 185, 201, 243),
)
WHITE = Ice(
    (14000, 6800, 1460, 540, 350, 280, 219, 186),
    (137, 169, 185, 200, 210, 219, 232),
    (140, 172, 189, 204, 215, 224, 237),
    (147, 180, 198, 214, 225, 234, 245),
)
SHEETS = (DARK, TEAL, BLUE, WHITE, WHITE)
NUM_SHEETS = len(SHEETS)


def crop_sheets(indices: npt.NDArray[np.int64], offsets: npt.NDArray[np.float64], height: int, width: int) -> Image:
    """Crops a part of a sheet for each image.

    Args:
        indices: int64 [n], index of the sheet of each image.
        offsets: float64 [n, 2], 0..1: where the crop starts from top to bottom and from left to right.
        height: Height of an image in pixels.
        width: Width of an image in pixels.

    Returns:
        uint8 [n, height, width, 3], RGB.
    """
    sheets = _sheets(min(height, width) < SMALL_BELOW)
    side = sheets.shape[1]
    top, left = (offsets * side).astype(int).T
    rows = (top[:, None] + np.arange(height)) % side
    columns = (left[:, None] + np.arange(width)) % side
    pixels = (indices[:, None, None] * side + rows[:, :, None]) * side + columns[:, None, :]
    return np.asarray(sheets.reshape(-1, 3).take(pixels, axis=0))


@lru_cache(maxsize=2)
def _sheets(small: bool) -> Image:
    """Draws all sheets for small or for large images, uint8 [5, side, side, 3]; they are the same in every process."""
    rng = np.random.default_rng(SEED)
    side, scale = (SMALL_SIDE, 1) if small else (LARGE_SIDE, LARGE_SCALE)
    return np.stack([_draw_sheet(ice, rng, side, scale) for ice in SHEETS])


def _draw_sheet(ice: Ice, rng: np.random.Generator, side: int, scale: int) -> Image:
    spectrum = np.fft.rfft2(_draw_needles(rng, side, scale))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * scale
    known = np.log(FREQUENCIES), np.log(ice.power)
    power = np.exp(np.interp(np.log(np.maximum(frequency, 1e-9)), *known))
    # beyond the measured frequencies the power falls off as that of photographs
    power *= np.maximum(frequency / FREQUENCIES[-1], 1.0) ** -3
    power[0, 0] = 0
    sheet = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-9) * np.sqrt(power), (side, side))
    sheet /= sheet.std()
    ramp = [NormalDist().inv_cdf(quantile) for quantile in QUANTILES]
    return np.stack([_colored(sheet, ramp, color) for color in (ice.red, ice.green, ice.blue)], axis=-1)


def _draw_needles(rng: np.random.Generator, side: int, scale: int) -> Floats:
    """Draws crystals: short lines from random points in random directions, lighter and darker, on a little noise."""
    sheet = rng.standard_normal((side, side), np.float32) * 0.3
    layer = np.zeros((side, side), np.float32)
    count = side * side // (6 * scale)
    starts = rng.uniform(0, side, (count, 2))
    angles, lengths = rng.uniform(0, np.pi, count), rng.uniform(1, 4, count) * scale
    tones = rng.normal(0, 1, count)
    ends = starts + (lengths * np.array([np.cos(angles), np.sin(angles)])).T
    for start, end, tone in zip(starts.astype(int).tolist(), ends.astype(int).tolist(), tones.tolist(), strict=True):
        cv2.line(layer, start, end, tone, 1)
    return np.asarray(sheet + layer, np.float32)


def _colored(sheet: npt.NDArray[np.float64], ramp: list[float], color: tuple[int, ...]) -> Image:
    """Maps each value of a sheet to one channel of the ramp, uint8; beyond its ends the ramp keeps its slope."""
    first, last = (color[1] - color[0]) / (ramp[1] - ramp[0]), (color[-1] - color[-2]) / (ramp[-1] - ramp[-2])
    ends = [ramp[0] - 3, *ramp, ramp[-1] + 3]
    values = [color[0] - 3 * first, *color, color[-1] + 3 * last]
    return np.interp(sheet, ends, values).clip(0, 255).astype(np.uint8)
