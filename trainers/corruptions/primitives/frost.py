"""Frost on the lens: sheets of ice crystals, drawn.

Each sheet starts as needles scattered at random. Their spectrum is then set to a measured one, which leaves the
needles' phases and so their shapes, and the result is colored by a ramp from its darkest to its lightest parts. Ramps
and spectra are those of the frost in CIFAR-10-C, taken from the difference between its pictures and clean ones. A
spectrum is periodic, so a sheet goes on beyond its edges and covers a picture of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from allweather.trainers.corruptions.corruption import SMALL_BELOW, Floats, Images

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)  # of a sheet that is darker than each color of its ramp
FREQUENCIES = (0.02, 0.035, 0.075, 0.15, 0.25, 0.35, 0.45, 0.6)  # cycles a pixel, of small pictures
FINENESS = 5  # sheets for large pictures show the same ice this many times larger
SMALL_SIDE, LARGE_SIDE = 256, 640
SEED = 19


@dataclass(frozen=True)
class Ice:
    """How one kind of ice looks: power at `FREQUENCIES`, and red, green, blue at `SHARES`."""

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
TEXTURES = len(SHEETS)


def crops(textures: npt.NDArray[np.int64], places: npt.NDArray[np.float64], height: int, width: int) -> Images:
    """A piece of a sheet for each picture.

    Args:
        textures: int64 [n], which sheet.
        places: [n, 2], 0..1: where in it from top to bottom and from left to right.
        height, width: of a picture.

    Returns:
        uint8 [n, height, width, 3], RGB.
    """
    sheets = _sheets(min(height, width) < SMALL_BELOW)
    side = sheets.shape[1]
    top, left = (places * side).astype(int).T
    rows = (top[:, None] + np.arange(height)) % side
    columns = (left[:, None] + np.arange(width)) % side
    places_in_all = (textures[:, None, None] * side + rows[:, :, None]) * side + columns[:, None, :]
    return np.asarray(sheets.reshape(-1, 3).take(places_in_all, axis=0))


@lru_cache(maxsize=2)
def _sheets(small: bool) -> Images:
    """uint8 [5, side, side, 3]; the same in every process."""
    rng = np.random.default_rng(SEED)
    return np.stack([_sheet(ice, rng, SMALL_SIDE if small else LARGE_SIDE, 1 if small else FINENESS) for ice in SHEETS])


def _sheet(ice: Ice, rng: np.random.Generator, side: int, fineness: int) -> Images:
    spectrum = np.fft.rfft2(_needles(rng, side, fineness))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * fineness
    known = np.log(FREQUENCIES), np.log(ice.power)
    power = np.exp(np.interp(np.log(np.maximum(frequency, 1e-9)), *known))
    power *= np.maximum(frequency / FREQUENCIES[-1], 1.0) ** -3  # finer than was measured: as smooth as photographs
    power[0, 0] = 0
    height = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-9) * np.sqrt(power), (side, side))
    height /= height.std()
    ramp = [NormalDist().inv_cdf(share) for share in SHARES]
    return np.stack([_colored(height, ramp, color) for color in (ice.red, ice.green, ice.blue)], axis=-1)


def _needles(rng: np.random.Generator, side: int, fineness: int) -> Floats:
    """Crystals: short lines from random points in random directions, lighter and darker, on a little noise."""
    sheet = rng.standard_normal((side, side), np.float32) * 0.3
    layer = np.zeros((side, side), np.float32)
    count = side * side // (6 * fineness)
    starts = rng.uniform(0, side, (count, 2))
    turns, lengths, lights = rng.uniform(0, np.pi, count), rng.uniform(1, 4, count) * fineness, rng.normal(0, 1, count)
    ends = starts + (lengths * np.array([np.cos(turns), np.sin(turns)])).T
    for start, end, light in zip(starts.astype(int).tolist(), ends.astype(int).tolist(), lights.tolist(), strict=True):
        cv2.line(layer, start, end, light, 1)
    return np.asarray(sheet + layer, np.float32)


def _colored(height: npt.NDArray[np.float64], ramp: list[float], color: tuple[int, ...]) -> Images:
    """The ramp's color at each height, uint8; beyond its ends it goes on as steeply."""
    first, last = (color[1] - color[0]) / (ramp[1] - ramp[0]), (color[-1] - color[-2]) / (ramp[-1] - ramp[-2])
    ends = [ramp[0] - 3, *ramp, ramp[-1] + 3]
    values = [color[0] - 3 * first, *color, color[-1] + 3 * last]
    return np.interp(height, ends, values).clip(0, 255).astype(np.uint8)
