"""Things near a sign in its picture: its post, shapes behind it, and twigs, leaves or a pole before it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Float, floats
from allweather.trainers.data.signs.sign.geometry import Corners


@dataclass(frozen=True)
class Clutter:
    """Things to draw; lengths in parts of the picture's side.

    Attributes:
        post: width of the sign's own post, 0 for none.
        tone: gray of that post, 0..255.
        shapes: float32 [n, 8]: center x and y, half width and height, turn in degrees, RGB; drawn behind.
        leaves: float32 [n, 8]: the same for ellipses before the sign.
        pole: float32 [8]: from x and y, to x and y, width (0 for none), RGB; drawn before.
    """

    post: float
    tone: float
    shapes: Float
    leaves: Float
    pole: Float


_SHAPE_LOW = floats(0, 0, 0.05, 0.05, 0, 10, 10, 10)
_SHAPE_HIGH = floats(1, 1, 0.3, 0.3, 180, 250, 250, 250)
_LEAF_LOW = floats(0, 0, 0.018, 0.018, 0, 30, 50, 20)
_LEAF_HIGH = floats(0, 0, 0.055, 0.055, 180, 120, 140, 70)


def _leaves(rng: np.random.Generator, corners: Corners) -> Float:
    """A twig that reaches over one edge of the sign; none in seven of ten pictures."""
    chance, edge, along, many = rng.random(4)
    number = 4 + int(12 * many) if chance < 0.3 else 0
    leaves = _LEAF_LOW + (_LEAF_HIGH - _LEAF_LOW) * rng.random((number, 8), np.float32)
    if number:
        begin = int(4 * edge)
        root = corners[begin] * (1 - along) + corners[(begin + 1) % 4] * along
        leaves[:, :2] = root + 0.085 * rng.standard_normal((number, 2), np.float32)
    return leaves


def _pole(rng: np.random.Generator) -> Float:
    """A pole, cable or branch across the picture; none in four of five pictures."""
    pole = np.zeros(8, np.float32)
    chance, x, lean, wide, tone, across = rng.random(6)
    if chance < 0.2:
        lean = 0.4 * (lean - 0.5)
        pole[:4] = (0.1 + 0.8 * x - lean, -0.05, 0.1 + 0.8 * x + lean, 1.05)
        pole[4] = 0.015 + 0.06 * wide
        pole[5:] = 30 + 140 * tone + rng.normal(0, 8, 3)
        if across < 0.3:  # such as a cable
            pole[:4] = pole[[1, 0, 3, 2]]
            pole[4] *= 0.5
    return pole


def draw_clutter(rng: np.random.Generator, corners: Corners) -> Clutter:
    """Draws the things around a sign with these corners (float32 [4, 2])."""
    many, chance, wide, tone = (float(x) for x in rng.random(4))
    shapes = _SHAPE_LOW + (_SHAPE_HIGH - _SHAPE_LOW) * rng.random((int(4 * many), 8), np.float32)
    post = 0.03 + 0.05 * wide if chance < 0.7 else 0.0
    return Clutter(post, 90 + 100 * tone, shapes, _leaves(rng, corners), _pole(rng))


def behind(canvas: np.ndarray, clutter: Clutter, corners: Corners) -> None:
    """Draws what stands behind the sign into [s, s, 3], in place."""
    side = len(canvas)
    for shape in clutter.shapes:
        x, y, wide, high, turn = (float(value) for value in shape[:5])
        box = ((x * side, y * side), (wide * 2 * side, high * 2 * side), turn)
        color = tuple(float(value) for value in shape[5:])
        if turn < 90:
            cv2.fillPoly(canvas, [cv2.boxPoints(box).astype(np.int32)], color)
        else:
            cv2.ellipse(canvas, box, color, -1)
    if clutter.post:
        foot = corners.mean(axis=0) * side
        wide = clutter.post * side / 2
        left, right, top = round(float(foot[0] - wide)), round(float(foot[0] + wide)), round(float(foot[1]))
        shade = max(left, round(float(foot[0] + wide * 0.2)))
        cv2.rectangle(canvas, (left, top), (right, side), (clutter.tone,) * 3, -1)
        cv2.rectangle(canvas, (shade, top), (right, side), (clutter.tone * 0.7,) * 3, -1)


def before(canvas: np.ndarray, clutter: Clutter) -> None:
    """Draws what stands before the sign into [s, s, 3], in place."""
    side = len(canvas)
    if clutter.pole[4] > 0:
        begin, end = ((round(float(x * side)), round(float(y * side))) for x, y in clutter.pole[:4].reshape(2, 2))
        color = tuple(float(value) for value in clutter.pole[5:])
        cv2.line(canvas, begin, end, color, max(1, round(float(clutter.pole[4]) * side)))
    for leaf in clutter.leaves:
        x, y, wide, high, turn = (float(value) for value in leaf[:5])
        box = ((x * side, y * side), (wide * 2 * side, high * 2 * side), turn)
        cv2.ellipse(canvas, box, tuple(float(value) for value in leaf[5:]), -1)
