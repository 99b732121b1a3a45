"""Objects beside the road: trees, bushes, marker posts and houses, each a small RGBA image (a sprite)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.texture import (
    HAZE,
    Color,
    add_haze,
    composite,
    smooth_noise,
    stretch_contrast,
)

DRAWING_SIDE = 512  # pixels; the functions below draw in these coordinates
LEAFY = ("broadleaf", "conifer", "bush")
LEVELS = (256, 128, 64, 32, 16)  # sides in pixels of the copies of a sprite
HAZE_STEPS = 32  # steps of fog and opacity for which hazy sprites are cached; not visible, and twice as fast
GREENS: tuple[Color, ...] = ((78, 104, 44), (64, 92, 48), (96, 116, 52), (56, 84, 52), (112, 118, 56))


@dataclass(frozen=True, eq=False)
class Sprite:
    """An object that stands beside the road.

    Attributes:
        levels: uint8 [s, s, 4] for each s of `LEVELS`, RGBA with premultiplied alpha; the foot of the object is at the
            middle of the lower edge.
        meters: Height and width of the image in the world, in meters.
        reach: First column, last column and first row that are not empty, as shares of the side; the rest is not drawn,
            which saves time.
    """

    levels: tuple[Image, ...]
    meters: float
    reach: tuple[float, float, float]


def _shade(color: Color, light: float) -> tuple[float, float, float, float]:
    """Returns the color in more (> 1, yellower) or less (< 1, bluer) light, as opaque RGBA."""
    warm = (light, light, light * 0.85 if light > 1 else min(1.0, light * 1.1))
    red, green, blue = (min(250.0, channel * factor) for channel, factor in zip(color, warm, strict=True))
    return red, green, blue, 255


def _draw_foliage(
    canvas: Image, rng: np.random.Generator, centers: np.ndarray, spread: float, color: Color, leaf: float
) -> None:
    """Draws blobs around each center (float64 [n, 2], pixels), from the shaded lower right to the sunlit upper left."""
    light = (centers[:, 0] - centers[:, 0].mean()) * -0.55 + (centers[:, 1] - centers[:, 1].mean()) * -0.85
    order = np.argsort(light)
    span = max(1.0, float(np.ptp(light)))
    for index in order:
        brightness = 0.5 + (light[index] - light.min()) / span * 0.75
        for layer in range(6):
            x, y = centers[index] + rng.normal(0, spread, 2) - layer * 0.22 * spread
            radius = leaf * rng.uniform(0.55, 1.1) * (1 - 0.1 * layer)
            tone = brightness * (0.74 + 0.1 * layer) * rng.uniform(0.88, 1.12)
            cv2.circle(canvas, (round(x), round(y)), max(2, round(radius)), _shade(color, tone), -1)


def _draw_broadleaf(canvas: Image, rng: np.random.Generator) -> None:
    color = GREENS[int(rng.integers(len(GREENS)))]
    bark = _shade((92, 76, 60), rng.uniform(0.7, 1.0))
    cv2.line(canvas, (256, 512), (250, 300), bark, 26)
    for x, y in ((170, 230), (330, 220), (250, 160)):
        cv2.line(canvas, (252, 350), (x, y), bark, 12)
    angle, radius = rng.uniform(0, 2 * np.pi, 46), np.sqrt(rng.uniform(0, 1, 46))
    centers = np.stack([256 + 168 * radius * np.cos(angle), 200 + 138 * radius * np.sin(angle)], 1)
    _draw_foliage(canvas, rng, centers, 20, color, 26)


def _draw_conifer(canvas: Image, rng: np.random.Generator) -> None:
    color = GREENS[3]
    cv2.line(canvas, (256, 512), (256, 300), _shade((84, 66, 52), 0.8), 22)
    height = rng.uniform(0, 1, 110)
    centers = np.stack([256 + (18 + 118 * height) * rng.uniform(-1, 1, 110), 30 + 420 * height], 1)
    _draw_foliage(canvas, rng, centers, 9, color, 15)


def _draw_bush(canvas: Image, rng: np.random.Generator) -> None:
    color = GREENS[int(rng.integers(len(GREENS)))]
    across = rng.uniform(-1, 1, 40)
    up = rng.uniform(0, 1, 40) * np.sqrt(1 - across**2)
    _draw_foliage(canvas, rng, np.stack([256 + 205 * across, 478 - 205 * up], 1), 16, color, 28)


def _draw_marker(canvas: Image, rng: np.random.Generator) -> None:
    """Draws the white post with a black band and a reflector that stands at the edge of European roads."""
    for left, right, tone in ((226, 258, 232), (258, 288, 190)):
        corners = np.array([(left, 40), (right, 52), (right, 512), (left, 512)], np.int32)
        cv2.fillPoly(canvas, [corners], (tone, tone, tone - 4, 255))
    cv2.fillPoly(canvas, [np.array([(226, 110), (288, 140), (288, 250), (226, 220)], np.int32)], (30, 30, 32, 255))
    cv2.rectangle(canvas, (244, 150), (270, 208), (236, 130 + int(rng.integers(20)), 40, 255), -1)


def _draw_house(canvas: Image, rng: np.random.Generator) -> None:
    wall = ((214, 204, 184), (196, 172, 146), (222, 218, 210), (176, 150, 128))[int(rng.integers(4))]
    roof = ((140, 72, 54), (96, 78, 74), (122, 88, 66))[int(rng.integers(3))]
    cv2.rectangle(canvas, (60, 280), (452, 512), _shade(wall, 0.95), -1)
    cv2.rectangle(canvas, (330, 280), (452, 512), _shade(wall, 0.72), -1)
    ridge = np.array([(36, 292), (120, 150), (400, 150), (476, 292)], np.int32)
    cv2.fillPoly(canvas, [ridge], _shade(roof, 1.0))
    cv2.rectangle(canvas, (350, 110), (384, 200), _shade(roof, 0.7), -1)
    for x in (95, 180, 265, 370):
        cv2.rectangle(canvas, (x - 5, 335), (x + 51, 415), _shade((235, 235, 230), 0.95), -1)
        cv2.rectangle(canvas, (x, 340), (x + 46, 410), (74, 92, 108, 255), -1)
        cv2.line(canvas, (x + 23, 340), (x + 23, 410), (230, 230, 226, 255), 4)


DrawFunction = Callable[[Image, np.random.Generator], None]
_KINDS: dict[str, tuple[DrawFunction, int, tuple[float, float]]] = {  # function, number of sprites, size in meters
    "broadleaf": (_draw_broadleaf, 6, (6.5, 10.0)),
    "conifer": (_draw_conifer, 3, (8.0, 12.0)),
    "bush": (_draw_bush, 4, (1.6, 3.2)),
    "marker": (_draw_marker, 1, (1.15, 1.15)),
    "house": (_draw_house, 3, (7.0, 9.0)),
}


def _make_sprite(draw: DrawFunction, meters: float, leafy: bool, rng: np.random.Generator) -> Sprite:
    canvas = np.zeros((DRAWING_SIDE, DRAWING_SIDE, 4), np.uint8)
    cv2.ellipse(canvas, (286, 502), (150, 9), 0, 0, 360, (10, 14, 8, 120), -1)  # its shadow on the ground
    draw(canvas, rng)
    if leafy:  # uneven light, and gaps between the leaves
        light = 0.72 + 0.56 * stretch_contrast(smooth_noise(rng, DRAWING_SIDE, DRAWING_SIDE, 22, 3), 2.2)
        gaps = stretch_contrast(smooth_noise(rng, DRAWING_SIDE, DRAWING_SIDE, 18, 3) + np.float32(0.22), 9)
        canvas = (canvas * cv2.merge([light * gaps] * 3 + [gaps])).clip(0, 255).astype(np.uint8)
    levels = tuple(
        np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for side in LEVELS
    )
    columns, rows = (np.flatnonzero(canvas[..., 3].any(axis=axis)) / DRAWING_SIDE for axis in (0, 1))
    return Sprite(levels, meters, (float(columns[0]), float(columns[-1]), float(rows[0])))


@lru_cache(maxsize=1)
def sprites() -> dict[str, tuple[Sprite, ...]]:
    """Returns all sprites by kind, several of each; the same in every run."""
    rng = np.random.default_rng(20)
    return {
        kind: tuple(_make_sprite(draw, float(rng.uniform(*meters)), kind in LEAFY, rng) for _ in range(count))
        for kind, (draw, count, meters) in _KINDS.items()
    }


@lru_cache(maxsize=1024)
def _hazy_level(sprite: Sprite, level: int, fog: int, opacity: int) -> Image:
    """Returns a level of a sprite seen through haze; `fog` and `opacity` are in parts of `HAZE_STEPS`."""
    return add_haze(sprite.levels[level], HAZE, fog / HAZE_STEPS, opacity / HAZE_STEPS)


def draw_sprite(
    canvas: Image, sprite: Sprite, x: float, y: float, side: float, fog: float, opacity: float = 1.0
) -> None:
    """Draws a sprite into the canvas, in place, at a subpixel position.

    Args:
        canvas: uint8 [H, W, 3]; it is changed.
        sprite: Sprite to draw.
        x: Column of its foot.
        y: Row of its foot.
        side: Side of the drawn sprite in pixels.
        fog: Share of its color that the haze hides, 0..1.
        opacity: Opacity of the sprite, 0..1; far sprites fade in with it.
    """
    height, width = canvas.shape[:2]
    first, last, highest = sprite.reach
    left, top = math.floor(x + (first - 0.5) * side) - 1, math.floor(y + (highest - 1) * side) - 1
    right, bottom = min(width, int(x + (last - 0.5) * side) + 2), min(height, int(y) + 2)
    left, top = max(0, left), max(0, top)
    if right <= left or bottom <= top:
        return
    level = max(0, sum(level_side >= side for level_side in LEVELS) - 1)  # the smallest level that is not enlarged
    image = _hazy_level(sprite, level, round(HAZE_STEPS * fog), round(HAZE_STEPS * opacity))
    scale = side / LEVELS[level]
    shift = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, x - side / 2 - left + shift], [0, scale, y - side - top + shift]])
    warped = cv2.warpAffine(image, matrix, (right - left, bottom - top))
    composite(canvas[top:bottom, left:right], np.asarray(warped, np.uint8))
