"""One picture of a sign: everything about it is drawn first (`Scene`), then painted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Bytes, cover, floats
from allweather.trainers.data.signs.sign.clutter import Clutter, before, behind, draw_clutter
from allweather.trainers.data.signs.sign.faces import face
from allweather.trainers.data.signs.sign.geometry import Corners, of_face, seen
from allweather.trainers.data.signs.sign.light import Light, draw_light, lit
from allweather.trainers.data.signs.sign.wear import Wear, draw_wear, worn

WORK = 2  # pictures are painted at twice their size; 3 costs twice the time and looks the same at 32 px


@dataclass(frozen=True)
class Scene:
    """What is in a picture; lengths in parts of its side.

    Attributes:
        label: class of the sign.
        corners: float32 [4, 2], of the sign, clockwise from the upper left.
        plate: number of the background, to be taken modulo the pool.
        window: float32 [2, 3]: picture -> background, in parts of the sides of both.
        wear: state of the face.
        clutter: things behind and before the sign.
        light: of the whole picture, and the camera's blur.
    """

    label: int
    corners: Corners
    plate: int
    window: np.ndarray
    wear: Wear
    clutter: Clutter
    light: Light


def _window(rng: np.random.Generator) -> np.ndarray:
    """A piece of a plate: a fifth to all of its side, turned a little, mirrored half of the time."""
    share, across, down, flip = (float(x) for x in rng.random(4))
    part, turn = 0.2 + 0.7 * share, 0.12 * float(rng.standard_normal())
    cos, sin, side = part * math.cos(turn), part * math.sin(turn), 1 if flip < 0.5 else -1
    x, y = (part / 2 + (1 - part) * place for place in (across, down))
    row, column = (side * cos, -sin), (side * sin, cos)
    return np.array([(*row, x - sum(row) / 2), (*column, y - sum(column) / 2)])


def draw_scene(rng: np.random.Generator, label: int) -> Scene:
    """Draws everything about a picture of a sign of that class."""
    half, yaw, pitch, x, y = (float(value) for value in rng.random(5))
    half = 0.25 + 0.22 * half
    slack = max(0.0, 0.53 - half) + 0.02  # a rim may just leave the picture, a pictogram may not
    center = floats(0.5 + slack * (2 * x - 1), 0.5 + slack * (2 * y - 1))
    corners = seen(1.5 * yaw - 0.75, 0.7 * pitch - 0.35, 0.11 * float(rng.standard_normal()))
    corners = corners * np.float32(half) + center
    return Scene(
        label=label,
        corners=corners,
        plate=int(rng.integers(1 << 30)),
        window=_window(rng),
        wear=draw_wear(rng),
        clutter=draw_clutter(rng, corners),
        light=draw_light(rng),
    )


def paint(scene: Scene, size: int, plates: Sequence[Bytes], rng: np.random.Generator) -> Bytes:
    """Paints a scene.

    Args:
        scene: what is in it.
        size: side of the picture in pixels.
        plates: pool of backgrounds, uint8 [s, s, 3] each.
        rng: of the sensor's grain only, so that sizes differ in nothing else.

    Returns:
        uint8 [size, size, 3], RGB.
    """
    side = size * WORK
    plate = plates[scene.plate % len(plates)]
    window = scene.window * len(plate)
    window[:, :2] /= side
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    backdrop = cv2.warpAffine(plate, window, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT)
    canvas = np.asarray(backdrop, np.uint8)
    behind(canvas, scene.clutter, scene.corners)
    _place(canvas, scene)
    before(canvas, scene.clutter)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return lit(np.asarray(small, np.uint8), scene.light, rng)


def _place(canvas: Bytes, scene: Scene) -> None:
    """Lays the worn face over uint8 [s, s, 3], in place."""
    side = len(canvas)
    corners = scene.corners * np.float32(side) - np.float32(0.5)
    flat = worn(face(scene.label, float(np.ptp(corners[:, 0])) * 0.8), scene.wear)
    matrix = cv2.getPerspectiveTransform(of_face(len(flat)), corners)
    cover(canvas, np.asarray(cv2.warpPerspective(flat, matrix, (side, side)), np.uint8))
