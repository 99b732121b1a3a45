"""Objects around a sign: its post, shapes behind it, and leaves or a pole in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.texture import float_array
from allweather.trainers.data.signs.sign.geometry import Corners


@dataclass(frozen=True)
class Clutter:
    """The objects around one sign; lengths are shares of the image's side.

    Attributes:
        post: Width of the sign's own post; 0 for none.
        tone: Gray value of that post, 0..255.
        shapes: float32 [n, 8]: center x and y, half width and half height, rotation in degrees, RGB. Rectangles and
            ellipses that are drawn behind the sign.
        leaves: float32 [n, 8]: the same for ellipses that are drawn in front of the sign.
        pole: float32 [8]: start x and y, end x and y, width (0 for none), RGB; drawn in front of the sign.
    """

    post: float
    tone: float
    shapes: Floats
    leaves: Floats
    pole: Floats


_SHAPE_LOW = float_array(0, 0, 0.05, 0.05, 0, 10, 10, 10)
_SHAPE_HIGH = float_array(1, 1, 0.3, 0.3, 180, 250, 250, 250)
_LEAF_LOW = float_array(0, 0, 0.018, 0.018, 0, 30, 50, 20)
_LEAF_HIGH = float_array(0, 0, 0.055, 0.055, 180, 120, 140, 70)


def _sample_leaves(rng: np.random.Generator, corners: Corners) -> Floats:
    """Samples the leaves of a twig that reaches over one edge of the sign; none in seven of ten images."""
    chance, edge, along, amount = rng.random(4)
    count = 4 + int(12 * amount) if chance < 0.3 else 0
    leaves = _LEAF_LOW + (_LEAF_HIGH - _LEAF_LOW) * rng.random((count, 8), np.float32)
    if count:
        corner = int(4 * edge)
        root = corners[corner] * (1 - along) + corners[(corner + 1) % 4] * along
        leaves[:, :2] = root + 0.085 * rng.standard_normal((count, 2), np.float32)
    return leaves


def _sample_pole(rng: np.random.Generator) -> Floats:
    """Samples a pole, cable or branch across the image; none in four of five images."""
    pole = np.zeros(8, np.float32)
    chance, x, lean, width, tone, across = rng.random(6)
    if chance < 0.2:
        lean = 0.4 * (lean - 0.5)
        pole[:4] = (0.1 + 0.8 * x - lean, -0.05, 0.1 + 0.8 * x + lean, 1.05)
        pole[4] = 0.015 + 0.06 * width
        pole[5:] = 30 + 140 * tone + rng.normal(0, 8, 3)
        if across < 0.3:  # horizontal, such as a cable
            pole[:4] = pole[[1, 0, 3, 2]]
            pole[4] *= 0.5
    return pole


def sample_clutter(rng: np.random.Generator, corners: Corners) -> Clutter:
    """Samples the objects around a sign with these corners."""
    amount, chance, width, tone = (float(x) for x in rng.random(4))
    shapes = _SHAPE_LOW + (_SHAPE_HIGH - _SHAPE_LOW) * rng.random((int(4 * amount), 8), np.float32)
    post = 0.03 + 0.05 * width if chance < 0.7 else 0.0
    return Clutter(post, 90 + 100 * tone, shapes, _sample_leaves(rng, corners), _sample_pole(rng))


def draw_behind_sign(canvas: Image, clutter: Clutter, corners: Corners) -> None:
    """Draws the shapes and the post behind the sign into uint8 [s, s, 3], in place."""
    side = len(canvas)
    for shape in clutter.shapes:
        x, y, width, height, rotation = (float(value) for value in shape[:5])
        box = ((x * side, y * side), (width * 2 * side, height * 2 * side), rotation)
        color = tuple(float(value) for value in shape[5:])
        if rotation < 90:
            cv2.fillPoly(canvas, [cv2.boxPoints(box).astype(np.int32)], color)
        else:
            cv2.ellipse(canvas, box, color, -1)
    if clutter.post:
        foot = corners.mean(axis=0) * side
        width = clutter.post * side / 2
        left, right, top = round(float(foot[0] - width)), round(float(foot[0] + width)), round(float(foot[1]))
        shade = max(left, round(float(foot[0] + width * 0.2)))
        cv2.rectangle(canvas, (left, top), (right, side), (clutter.tone,) * 3, -1)
        cv2.rectangle(canvas, (shade, top), (right, side), (clutter.tone * 0.7,) * 3, -1)


def draw_in_front_of_sign(canvas: Image, clutter: Clutter) -> None:
    """Draws the pole and the leaves in front of the sign into uint8 [s, s, 3], in place."""
    side = len(canvas)
    if clutter.pole[4] > 0:
        start, end = ((round(float(x * side)), round(float(y * side))) for x, y in clutter.pole[:4].reshape(2, 2))
        color = tuple(float(value) for value in clutter.pole[5:])
        cv2.line(canvas, start, end, color, max(1, round(float(clutter.pole[4]) * side)))
    for leaf in clutter.leaves:
        x, y, width, height, rotation = (float(value) for value in leaf[:5])
        box = ((x * side, y * side), (width * 2 * side, height * 2 * side), rotation)
        cv2.ellipse(canvas, box, tuple(float(value) for value in leaf[5:]), -1)
