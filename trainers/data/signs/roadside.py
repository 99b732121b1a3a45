"""What stands along the drive, and where: scenery in cells of four meters of road, and signs one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.camera import CameraPose
from allweather.trainers.data.signs.landscape.ground import fog_opacity
from allweather.trainers.data.signs.landscape.scenery import Sprite, sprites
from allweather.trainers.data.signs.landscape.texture import HAZE, add_haze, composite, float_array, scale_channels
from allweather.trainers.data.signs.sign.geometry import image_corners, rotated_square
from allweather.trainers.data.signs.sign.sign_faces import CLASSES, LEVELS, level_for, sign_face
from allweather.trainers.data.signs.sign.wear import apply_wear, sample_wear

CELL_METERS = 4.0  # length of road whose scenery is sampled together
FIRST_SIGN, SPACING = 24.0, 21.0  # meters; a sign can be read from 31 m to 7 m, so there is nearly always one
HALF_SIDE = 0.45  # meters, of a sign


@dataclass(frozen=True)
class SceneryItem:
    """A sprite in the world.

    Attributes:
        sprite: What stands there.
        position: Meters along the road from the start.
        right: Meters to the right of the middle of the lane.
    """

    sprite: Sprite
    position: float
    right: float


@dataclass(frozen=True)
class Sign:
    """A sign in the world.

    Attributes:
        index: Number of the sign along the road, from 0.
        label: Index of its class in `CLASSES`.
        position: Meters along the road from the start.
        right: Meters to the right of the middle of the lane.
        up: Height of its center above the road in meters.
        corners: float64 [4, 3], its corners relative to its center, in meters; z points away from the car.
        faces: Its worn face at every level of `LEVELS`, uint8 [s, s, 4], RGBA with premultiplied alpha.
        light: Brightness, 1 in the sun.
    """

    index: int
    label: int
    position: float
    right: float
    up: float
    corners: np.ndarray
    faces: tuple[Image, ...]
    light: float


def _choose_sprite(rng: np.random.Generator, kind: str) -> Sprite:
    of_kind = sprites()[kind]
    return of_kind[int(rng.integers(len(of_kind)))]


@lru_cache(maxsize=256)
def scenery_in_cell(seed: int, cell: int) -> tuple[SceneryItem, ...]:
    """Samples the scenery of a cell, the farthest item first. All but marker posts stand farther out than signs."""
    rng = np.random.default_rng([seed, 11, cell])
    items = []
    for side, verge in ((1, 6.2), (-1, 9.8)):
        if rng.random() < 0.5:
            kind = "conifer" if rng.random() < 0.3 else "broadleaf"
            right = side * (verge + 2.5 + 20 * rng.random() ** 1.4)
            items.append(SceneryItem(_choose_sprite(rng, kind), CELL_METERS * (cell + rng.random()), right))
        if rng.random() < 0.3:
            items.append(
                SceneryItem(
                    _choose_sprite(rng, "bush"), CELL_METERS * (cell + rng.random()), side * (verge + 9 * rng.random())
                )
            )
        if rng.random() < 0.05:
            items.append(
                SceneryItem(_choose_sprite(rng, "house"), CELL_METERS * cell, side * (verge + 11 + 8 * rng.random()))
            )
        if cell % 6 == 0:
            items.append(SceneryItem(_choose_sprite(rng, "marker"), CELL_METERS * cell, side * (verge - 3.6)))
    return tuple(sorted(items, key=lambda item: -item.position))


@lru_cache(maxsize=16)
def sample_sign(seed: int, index: int) -> Sign:
    """Samples the sign with this index along the road; each block of 16 signs holds one sign of each class."""
    block, position = divmod(index, len(CLASSES))
    label = int(np.random.default_rng([seed, 12, block]).permutation(len(CLASSES))[position])
    rng = np.random.default_rng([seed, 13, index])
    wear = sample_wear(rng, 0.8)
    corners = rotated_square(rng.normal(0, 0.12), rng.normal(0, 0.03), rng.normal(0, 0.03))
    return Sign(
        index=index,
        label=label,
        position=FIRST_SIGN + SPACING * (index + rng.uniform(-0.12, 0.12)),
        right=3.3 + 0.5 * rng.random() if rng.random() < 0.85 else -6.9 - 0.4 * rng.random(),
        up=2.1 + 0.25 * rng.random(),
        corners=np.array(corners) * HALF_SIDE,
        faces=tuple(apply_wear(sign_face(label, side), wear) for side in LEVELS),
        light=1.0 if rng.random() < 0.7 else rng.uniform(0.6, 0.9),
    )


def signs_ahead(seed: int, travelled: float, far: float) -> Iterator[Sign]:
    """Yields the signs from 1.5 to `far` meters ahead of the car, nearest first."""
    index = max(0, int((travelled - FIRST_SIGN) / SPACING) - 1)
    while (sign := sample_sign(seed, index)).position < travelled + far:
        if sign.position > travelled + 1.5:
            yield sign
        index += 1


def project_sign(sign: Sign, pose: CameraPose) -> np.ndarray:
    """Projects the corners of a sign into the image: float32 [4, 2], columns and rows."""
    ahead = sign.position - pose.travelled
    corners = [(pose.column(sign.right + x, ahead + z), pose.row(sign.up - y, ahead + z)) for x, y, z in sign.corners]
    return np.array(corners, np.float32)


def draw_sign(canvas: Image, sign: Sign, pose: CameraPose) -> None:
    """Draws a sign on its post into uint8 [H, W, 3], in place."""
    ahead = sign.position - pose.travelled
    corners = project_sign(sign, pose)
    fog = fog_opacity(ahead) * 0.6  # signs show better through haze: their sheeting reflects the light
    _draw_post(canvas, sign, pose, fog)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, (pose.width, pose.height))
    if right <= left or bottom <= top:
        return
    side = float(np.ptp(corners[:, 0]))
    face = sign.faces[level_for(side)]
    matrix = cv2.getPerspectiveTransform(image_corners(len(face)), corners - float_array(left, top))
    warped = np.asarray(cv2.warpPerspective(face, matrix, (int(right - left), int(bottom - top))), np.uint8)
    shaded = scale_channels(warped, (sign.light, sign.light, sign.light, 1.0))
    composite(canvas[top:bottom, left:right], add_haze(shaded, HAZE, fog))


def _draw_post(canvas: Image, sign: Sign, pose: CameraPose, fog: float) -> None:
    """Draws a gray pipe, lit from the left, from the center of the sign to the ground."""
    ahead = sign.position - pose.travelled
    top, foot = pose.row(sign.up, ahead), pose.row(0, ahead)
    for start, end, tone in ((-0.04, 0.04, 118), (-0.04, 0.012, 176), (-0.025, -0.005, 206)):
        left, right = (pose.column(sign.right + edge, ahead) - 0.5 for edge in (start, end))
        color = [tone * sign.light * (1 - fog) + channel * fog for channel in HAZE]
        corners = np.array([(left, top), (right, top), (right, foot), (left, foot)]) * 16
        cv2.fillConvexPoly(canvas, corners.astype(np.int32), color, cv2.LINE_AA, 4)
