"""Backgrounds for the pictures of signs: a pool of large plates, of which each picture shows a piece."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.scenery import lay, sprites
from allweather.trainers.data.signs.landscape.sky import sky
from allweather.trainers.data.signs.landscape.texture import Bytes, Color, contrast, noise, tint, vertical

SIDE = 192
PLATES = 48  # enough that no split can be learnt by its backgrounds: each piece is turned, scaled and tinted too


def _color(rng: np.random.Generator, low: int = 40, high: int = 220) -> Color:
    red, green, blue = (int(channel) for channel in rng.integers(low, high, 3))
    return red, green, blue


def _roadside(rng: np.random.Generator) -> Bytes:
    plate = sky(rng, SIDE, SIDE)
    horizon = int(rng.integers(80, 150))
    near, far = (84, 104, 50), (128, 138, 92)
    grass = noise(rng, SIDE - horizon, SIDE, 20, 4)[..., None] * 0.5 + 0.75
    plate[horizon:] = (vertical(SIDE - horizon, SIDE, far, near) * grass).clip(0, 255)
    foot = rng.uniform(0, SIDE * 0.8)
    road = np.array([(foot, SIDE), (SIDE * 0.5, horizon), (SIDE * 0.53, horizon), (foot + 90, SIDE)], np.int32)
    cv2.fillPoly(plate, [road], (int(rng.integers(88, 124)),) * 3)
    kinds = sprites()
    for distance in sorted(rng.uniform(0.15, 1, int(rng.integers(5, 14))), reverse=True):
        kind = rng.choice(["broadleaf", "broadleaf", "conifer", "bush", "house"])
        things = kinds[str(kind)]
        thing = things[int(rng.integers(len(things)))]
        side = thing.metres * 8 / distance
        foot_y = horizon + 14 / distance - 12
        lay(plate, thing, rng.uniform(0, SIDE), foot_y, side, 0.5 * distance)
    return plate


def _thicket(rng: np.random.Generator) -> Bytes:
    bright = (int(rng.integers(110, 190)), int(rng.integers(120, 190)), int(rng.integers(50, 110)))
    plate = tint(contrast(noise(rng, SIDE, SIDE, rng.uniform(10, 40), 5), 2.4), (22, 34, 18), bright)
    for _ in range(int(rng.integers(2, 9))):
        (x, y), end = rng.integers(0, SIDE, 2), rng.integers(0, SIDE, 2)
        cv2.line(plate, (int(x), int(y)), (int(end[0]), int(end[1])), (70, 58, 46), int(rng.integers(1, 6)))
    return plate


def _facade(rng: np.random.Generator) -> Bytes:
    wall = _color(rng, 80, 230)
    dark: Color = (int(wall[0] * 0.75), int(wall[1] * 0.75), int(wall[2] * 0.75))
    plate = tint(noise(rng, SIDE, SIDE, 48, 5), dark, wall)
    step_x, step_y = int(rng.integers(22, 56)), int(rng.integers(26, 60))
    frame, glass = _color(rng, 120, 245), _color(rng, 30, 140)
    for x in range(int(rng.integers(4, 20)), SIDE, step_x):
        for y in range(int(rng.integers(4, 20)), SIDE, step_y):
            corner = (x + step_x // 2, y + step_y * 2 // 3)
            cv2.rectangle(plate, (x - 1, y - 1), (corner[0] + 1, corner[1] + 1), frame, -1)
            cv2.rectangle(plate, (x, y), corner, glass, -1)
    return plate


def _street(rng: np.random.Generator) -> Bytes:
    """Boards and vehicles as overlapping shapes: the reds, blues and yellows of signs, without a sign."""
    plate = tint(noise(rng, SIDE, SIDE, 60, 4), _color(rng, 40, 130), _color(rng, 110, 230))
    for _ in range(int(rng.integers(12, 30))):
        x, y = (int(value) for value in rng.integers(0, SIDE, 2))
        wide, high = (int(value) for value in rng.integers(6, 70, 2))
        color = _color(rng, 10, 250)
        shape = int(rng.integers(4))
        if shape == 0:
            cv2.ellipse(plate, (x, y), (wide // 2, high // 2), float(rng.uniform(0, 180)), 0, 360, color, -1)
        elif shape == 1:
            points = rng.integers(-wide, wide, (3, 2)) + np.array((x, y))
            cv2.fillPoly(plate, [points.astype(np.int32)], color)
        else:
            cv2.rectangle(plate, (x, y), (x + wide, y + high), color, -1 if shape == 2 else 4)
    return plate


@lru_cache(maxsize=6)
def plates(seed: int, split: int) -> tuple[Bytes, ...]:
    """The pool of a split: `PLATES` pictures, uint8 [SIDE, SIDE, 3], read-only."""
    rng = np.random.default_rng([seed, split, 1])
    kinds = (_roadside, _roadside, _thicket, _facade, _street, _roadside)
    pool = tuple(kinds[place % len(kinds)](rng) for place in range(PLATES))
    for plate in pool:
        plate.setflags(write=False)
    return pool
