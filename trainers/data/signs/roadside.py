"""What stands along the drive, and where: trees and houses by cells of four metres, signs one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.camera import View
from allweather.trainers.data.signs.landscape.ground import fog
from allweather.trainers.data.signs.landscape.scenery import Sprite, sprites
from allweather.trainers.data.signs.landscape.texture import HAZE, Bytes, cover, floats, hazy, scaled
from allweather.trainers.data.signs.sign.faces import CLASSES, LEVELS, face
from allweather.trainers.data.signs.sign.geometry import of_face, square
from allweather.trainers.data.signs.sign.wear import draw_wear, worn

CELL = 4.0  # metres of road that share one draw
FIRST_SIGN, SPACING = 24.0, 21.0  # metres: a sign can be read from 31 m to 7 m, so one follows the other
HALF_SIDE = 0.45  # metres, of a sign


@dataclass(frozen=True)
class Thing:
    """A sprite in the world: metres from the start, metres to the right of the middle of the lane."""

    sprite: Sprite
    place: float
    right: float


@dataclass(frozen=True)
class Sign:
    """A sign in the world.

    Attributes:
        label: index into `CLASSES`.
        place: metres from the start.
        right: metres to the right of the middle of the lane.
        up: metres of its middle above the road.
        corners: float64 [4, 3], of its plate around its middle, in metres; z away from the car.
        faces: its worn face at every level: uint8 [s, s, 4].
        light: brightness, 1 in the sun.
    """

    label: int
    place: float
    right: float
    up: float
    corners: np.ndarray
    faces: tuple[Bytes, ...]
    light: float


def _pick(rng: np.random.Generator, kind: str) -> Sprite:
    things = sprites()[kind]
    return things[int(rng.integers(len(things)))]


@lru_cache(maxsize=256)
def things(seed: int, cell: int) -> tuple[Thing, ...]:
    """Everything but the signs in a cell, farthest first; further from the road than the signs."""
    rng = np.random.default_rng([seed, 11, cell])
    found = []
    for side, verge in ((1, 6.2), (-1, 9.8)):
        if rng.random() < 0.5:
            kind = "conifer" if rng.random() < 0.3 else "broadleaf"
            right = side * (verge + 2.5 + 20 * rng.random() ** 1.4)
            found.append(Thing(_pick(rng, kind), CELL * (cell + rng.random()), right))
        if rng.random() < 0.3:
            found.append(Thing(_pick(rng, "bush"), CELL * (cell + rng.random()), side * (verge + 9 * rng.random())))
        if rng.random() < 0.05:
            found.append(Thing(_pick(rng, "house"), CELL * cell, side * (verge + 11 + 8 * rng.random())))
        if cell % 6 == 0:
            found.append(Thing(_pick(rng, "marker"), CELL * cell, side * (verge - 3.6)))
    return tuple(sorted(found, key=lambda thing: -thing.place))


@lru_cache(maxsize=16)
def sign(seed: int, number: int) -> Sign:
    """The sign of that number along the drive; 16 in a row are of 16 classes."""
    block, place = divmod(number, len(CLASSES))
    label = int(np.random.default_rng([seed, 12, block]).permutation(len(CLASSES))[place])
    rng = np.random.default_rng([seed, 13, number])
    wear = draw_wear(rng, 0.8)
    turned = square(rng.normal(0, 0.12), rng.normal(0, 0.03), rng.normal(0, 0.03))
    return Sign(
        label=label,
        place=FIRST_SIGN + SPACING * (number + rng.uniform(-0.12, 0.12)),
        right=3.3 + 0.5 * rng.random() if rng.random() < 0.85 else -6.9 - 0.4 * rng.random(),
        up=2.1 + 0.25 * rng.random(),
        corners=np.array(turned) * HALF_SIDE,
        faces=tuple(worn(face(label, side), wear) for side in LEVELS),
        light=1.0 if rng.random() < 0.7 else rng.uniform(0.6, 0.9),
    )


def signs_ahead(seed: int, travelled: float, far: float) -> Iterator[Sign]:
    """The signs from just ahead of the car to `far` metres, nearest first."""
    number = max(0, int((travelled - FIRST_SIGN) / SPACING) - 1)
    while (found := sign(seed, number)).place < travelled + far:
        if found.place > travelled + 1.5:
            yield found
        number += 1


def corners_seen(found: Sign, view: View) -> np.ndarray:
    """Where the corners of a sign fall in the picture: float32 [4, 2], columns and rows."""
    ahead = found.place - view.travelled
    corners = [
        (view.column(found.right + x, ahead + z), view.row(found.up - y, ahead + z)) for x, y, z in found.corners
    ]
    return np.array(corners, np.float32)


def stand(canvas: Bytes, found: Sign, view: View) -> None:
    """Draws a sign on its post into uint8 [H, W, 3], in place."""
    ahead = found.place - view.travelled
    corners = corners_seen(found, view)
    air = fog(ahead) * 0.6  # signs are made to be seen: their sheeting throws the light back
    _post(canvas, found, view, air)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, (view.width, view.height))
    if right <= left or bottom <= top:
        return
    side = float(np.ptp(corners[:, 0]))
    fitting = [place for place, level in enumerate(LEVELS) if level >= side]
    flat = found.faces[fitting[-1] if fitting else 0]
    inside = corners - floats(left, top)
    matrix = cv2.getPerspectiveTransform(of_face(len(flat)), inside)
    seen = np.asarray(cv2.warpPerspective(flat, matrix, (int(right - left), int(bottom - top))), np.uint8)
    bright = scaled(seen, (found.light, found.light, found.light, 1.0))
    cover(canvas[top:bottom, left:right], hazy(bright, HAZE, air))


def _post(canvas: Bytes, found: Sign, view: View, air: float) -> None:
    """A gray pipe from the middle of the sign into the ground, lit from the left."""
    ahead = found.place - view.travelled
    top, foot = view.row(found.up, ahead), view.row(0, ahead)
    for begin, end, tone in ((-0.04, 0.04, 118), (-0.04, 0.012, 176), (-0.025, -0.005, 206)):
        left, right = (view.column(found.right + edge, ahead) - 0.5 for edge in (begin, end))
        color = [tone * found.light * (1 - air) + channel * air for channel in HAZE]
        corners = np.array([(left, top), (right, top), (right, foot), (left, foot)]) * 16
        cv2.fillConvexPoly(canvas, corners.astype(np.int32), color, cv2.LINE_AA, 4)
