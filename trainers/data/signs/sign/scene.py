"""One image of a sign: everything random about it is sampled first (`Scene`), and then it is painted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.texture import composite, float_array
from allweather.trainers.data.signs.sign.clutter import (
    Clutter,
    draw_behind_sign,
    draw_in_front_of_sign,
    sample_clutter,
)
from allweather.trainers.data.signs.sign.geometry import Corners, image_corners, project_square
from allweather.trainers.data.signs.sign.lighting import Lighting, apply_lighting, sample_lighting
from allweather.trainers.data.signs.sign.sign_faces import sign_face
from allweather.trainers.data.signs.sign.wear import Wear, apply_wear, sample_wear

SUPERSAMPLING = 2  # images are painted at twice their size; 3 takes twice the time without a visible gain at 32 px


@dataclass(frozen=True)
class Scene:
    """What one image shows; lengths are shares of its side.

    Attributes:
        label: Class of the sign.
        corners: float32 [4, 2], corners of the sign, clockwise from the upper left.
        background: Index of the background, modulo the number of backgrounds.
        window: float64 [2, 3], affine map from the image to the background, in shares of their sides.
        wear: Wear of the sign's face.
        clutter: Objects behind and in front of the sign.
        lighting: Light on the whole image, and the camera's blur and noise.
    """

    label: int
    corners: Corners
    background: int
    window: np.ndarray
    wear: Wear
    clutter: Clutter
    lighting: Lighting


def _sample_window(rng: np.random.Generator) -> np.ndarray:
    """Samples a part of a background: 0.2 to 0.9 of its side, rotated a little, half of the time flipped."""
    share, across, down, flip = (float(x) for x in rng.random(4))
    part, rotation = 0.2 + 0.7 * share, 0.12 * float(rng.standard_normal())
    cos, sin, side = part * math.cos(rotation), part * math.sin(rotation), 1 if flip < 0.5 else -1
    x, y = (part / 2 + (1 - part) * position for position in (across, down))
    row, column = (side * cos, -sin), (side * sin, cos)
    return np.array([(*row, x - sum(row) / 2), (*column, y - sum(column) / 2)])


def sample_scene(rng: np.random.Generator, label: int) -> Scene:
    """Samples everything about an image of a sign of class `label`, except the sensor noise."""
    half, yaw, pitch, x, y = (float(value) for value in rng.random(5))
    half = 0.25 + 0.22 * half
    slack = max(0.0, 0.53 - half) + 0.02  # the image's border may cut off a rim, but no pictogram
    center = float_array(0.5 + slack * (2 * x - 1), 0.5 + slack * (2 * y - 1))
    corners = project_square(1.5 * yaw - 0.75, 0.7 * pitch - 0.35, 0.11 * float(rng.standard_normal()))
    corners = corners * np.float32(half) + center
    return Scene(
        label=label,
        corners=corners,
        background=int(rng.integers(1 << 30)),
        window=_sample_window(rng),
        wear=sample_wear(rng),
        clutter=sample_clutter(rng, corners),
        lighting=sample_lighting(rng),
    )


def paint_scene(scene: Scene, size: int, backgrounds: Sequence[Image], rng: np.random.Generator) -> Image:
    """Paints a scene.

    Args:
        scene: What the image shows.
        size: Side of the image in pixels.
        backgrounds: Pool of backgrounds, uint8 [s, s, 3] each.
        rng: Source of the sensor noise only, so that images of different sizes differ in nothing else.

    Returns:
        uint8 [size, size, 3], RGB.
    """
    side = size * SUPERSAMPLING
    background = backgrounds[scene.background % len(backgrounds)]
    window = scene.window * len(background)
    window[:, :2] /= side
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(background, window, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT)
    canvas = np.asarray(warped, np.uint8)
    draw_behind_sign(canvas, scene.clutter, scene.corners)
    _draw_sign(canvas, scene)
    draw_in_front_of_sign(canvas, scene.clutter)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return apply_lighting(np.asarray(small, np.uint8), scene.lighting, rng)


def _draw_sign(canvas: Image, scene: Scene) -> None:
    """Draws the worn face of the sign onto uint8 [s, s, 3], in place."""
    side = len(canvas)
    corners = scene.corners * np.float32(side) - np.float32(0.5)
    face = apply_wear(sign_face(scene.label, float(np.ptp(corners[:, 0])) * 0.8), scene.wear)
    matrix = cv2.getPerspectiveTransform(image_corners(len(face)), corners)
    composite(canvas, np.asarray(cv2.warpPerspective(face, matrix, (side, side)), np.uint8))
