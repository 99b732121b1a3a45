"""Backgrounds for the images of signs: a pool of large images, of which each image of a sign shows a part."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.scenery import draw_sprite, sprites
from allweather.trainers.data.signs.landscape.sky import draw_sky
from allweather.trainers.data.signs.landscape.texture import (
    Color,
    colorize,
    smooth_noise,
    stretch_contrast,
    vertical_gradient,
)

SIDE = 192  # pixels
# enough that a network cannot memorize them: each part is rotated, scaled and tinted as well
NUM_BACKGROUNDS = 48


def _random_color(rng: np.random.Generator, low: int = 40, high: int = 220) -> Color:
    red, green, blue = (int(channel) for channel in rng.integers(low, high, 3))
    return red, green, blue


def _draw_roadside(rng: np.random.Generator) -> Image:
    canvas = draw_sky(rng, SIDE, SIDE)
    horizon = int(rng.integers(80, 150))
    near, far = (84, 104, 50), (128, 138, 92)
    grass = smooth_noise(rng, SIDE - horizon, SIDE, 20, 4)[..., None] * 0.5 + 0.75
    canvas[horizon:] = (vertical_gradient(SIDE - horizon, SIDE, far, near) * grass).clip(0, 255)
    foot = rng.uniform(0, SIDE * 0.8)
    road = np.array([(foot, SIDE), (SIDE * 0.5, horizon), (SIDE * 0.53, horizon), (foot + 90, SIDE)], np.int32)
    cv2.fillPoly(canvas, [road], (int(rng.integers(88, 124)),) * 3)
    kinds = sprites()
    for distance in sorted(rng.uniform(0.15, 1, int(rng.integers(5, 14))), reverse=True):
        kind = rng.choice(["broadleaf", "broadleaf", "conifer", "bush", "house"])
        of_kind = kinds[str(kind)]
        sprite = of_kind[int(rng.integers(len(of_kind)))]
        side = sprite.meters * 8 / distance
        foot_y = horizon + 14 / distance - 12
        draw_sprite(canvas, sprite, rng.uniform(0, SIDE), foot_y, side, 0.5 * distance)
    return canvas


def _draw_thicket(rng: np.random.Generator) -> Image:
    bright = (int(rng.integers(110, 190)), int(rng.integers(120, 190)), int(rng.integers(50, 110)))
    canvas = colorize(
        stretch_contrast(smooth_noise(rng, SIDE, SIDE, rng.uniform(10, 40), 5), 2.4), (22, 34, 18), bright
    )
    for _ in range(int(rng.integers(2, 9))):
        (x, y), end = rng.integers(0, SIDE, 2), rng.integers(0, SIDE, 2)
        cv2.line(canvas, (int(x), int(y)), (int(end[0]), int(end[1])), (70, 58, 46), int(rng.integers(1, 6)))
    return canvas


def _draw_facade(rng: np.random.Generator) -> Image:
    wall = _random_color(rng, 80, 230)
    dark: Color = (int(wall[0] * 0.75), int(wall[1] * 0.75), int(wall[2] * 0.75))
    canvas = colorize(smooth_noise(rng, SIDE, SIDE, 48, 5), dark, wall)
    step_x, step_y = int(rng.integers(22, 56)), int(rng.integers(26, 60))
    frame, glass = _random_color(rng, 120, 245), _random_color(rng, 30, 140)
    for x in range(int(rng.integers(4, 20)), SIDE, step_x):
        for y in range(int(rng.integers(4, 20)), SIDE, step_y):
            corner = (x + step_x // 2, y + step_y * 2 // 3)
            cv2.rectangle(canvas, (x - 1, y - 1), (corner[0] + 1, corner[1] + 1), frame, -1)
            cv2.rectangle(canvas, (x, y), corner, glass, -1)
    return canvas


def _draw_street(rng: np.random.Generator) -> Image:
    """Draws overlapping shapes, as of boards and vehicles, in random colors that signs may have too."""
    canvas = colorize(smooth_noise(rng, SIDE, SIDE, 60, 4), _random_color(rng, 40, 130), _random_color(rng, 110, 230))
    for _ in range(int(rng.integers(12, 30))):
        x, y = (int(value) for value in rng.integers(0, SIDE, 2))
        width, height = (int(value) for value in rng.integers(6, 70, 2))
        color = _random_color(rng, 10, 250)
        shape = int(rng.integers(4))
        if shape == 0:
            cv2.ellipse(canvas, (x, y), (width // 2, height // 2), float(rng.uniform(0, 180)), 0, 360, color, -1)
        elif shape == 1:
            points = rng.integers(-width, width, (3, 2)) + np.array((x, y))
            cv2.fillPoly(canvas, [points.astype(np.int32)], color)
        else:
            cv2.rectangle(canvas, (x, y), (x + width, y + height), color, -1 if shape == 2 else 4)
    return canvas


@lru_cache(maxsize=6)
def draw_backgrounds(seed: int, split: int) -> tuple[Image, ...]:
    """Draws the backgrounds of a split: `NUM_BACKGROUNDS` images, uint8 [SIDE, SIDE, 3], read-only.

    Args:
        seed: Random seed of the data set.
        split: Index of the split.
    """
    rng = np.random.default_rng([seed, split, 1])
    kinds = (_draw_roadside, _draw_roadside, _draw_thicket, _draw_facade, _draw_street, _draw_roadside)
    backgrounds = tuple(kinds[index % len(kinds)](rng) for index in range(NUM_BACKGROUNDS))
    for background in backgrounds:
        background.setflags(write=False)
    return backgrounds
