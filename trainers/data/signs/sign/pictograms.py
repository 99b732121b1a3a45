"""The pictograms and letters on the faces of signs, as strokes and polygons.

Letters are drawn here because the fonts of OpenCV 4 and 5 differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.texture import Color

Points = Sequence[tuple[float, float]]

RED, BLUE, YELLOW = (196, 24, 36), (18, 84, 172), (250, 190, 24)
WHITE, BLACK, GRAY = (242, 242, 240), (24, 24, 26), (150, 152, 154)


class Pen:
    """Draws on a square RGBA canvas in units of half its side: x to the right, y down, both -1..1.

    Args:
        side: Side of the canvas in pixels.
    """

    def __init__(self, side: int) -> None:
        self.canvas: Image = np.zeros((side, side, 4), np.uint8)
        self.side = side

    def _pixels(self, points: Points | NDArray[np.float64]) -> NDArray[np.int32]:
        units = np.asarray(points, np.float64)
        return np.rint((units + 1) / 2 * (self.side - 1)).astype(np.int32)

    def fill(self, points: Points | NDArray[np.float64], color: Color) -> None:
        """Fills a polygon."""
        cv2.fillPoly(self.canvas, [self._pixels(points)], (*color, 255))

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fills a circle."""
        self.fill(arc(x, y, radius, radius, 0, 360), color)

    def stroke(self, points: Points | NDArray[np.float64], width: float, color: Color) -> None:
        """Draws a line with round joints and ends."""
        thickness = max(1, round(width * self.side / 2))
        cv2.polylines(self.canvas, [self._pixels(points)], False, (*color, 255), thickness)


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> NDArray[np.float64]:
    """Returns points of an ellipse from angle `start` to `end`, in degrees, 0 to the right and 90 down: [64, 2]."""
    angle = np.radians(np.linspace(start, end, 64))
    return np.stack([x + across * np.cos(angle), y + down * np.sin(angle)], axis=1)


def transform(points: Points, x: float, y: float, scale: float, rotation: float = 0.0) -> NDArray[np.float64]:
    """Rotates points (degrees, clockwise), scales them, then shifts them by (x, y): float64 [n, 2]."""
    angle = np.radians(rotation)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(np.asarray(points, np.float64) @ matrix * scale + (x, y))


# every letter is about 1 high and centered on (0, 0)
LETTERS: dict[str, list[NDArray[np.float64]]] = {
    "0": [arc(0, 0, 0.27, 0.5, 0, 360)],
    "3": [arc(-0.03, -0.25, 0.26, 0.25, -160, 90), arc(-0.03, 0.23, 0.3, 0.27, -90, 160)],
    "5": [
        np.array([(0.24, -0.5), (-0.2, -0.5), (-0.24, -0.06)]),
        arc(-0.01, 0.17, 0.29, 0.33, -140, 145),
    ],
    "8": [arc(0, -0.25, 0.23, 0.25, 0, 360), arc(0, 0.24, 0.28, 0.26, 0, 360)],
    "S": [arc(0, -0.25, 0.25, 0.25, -30, -270), arc(0, 0.25, 0.25, 0.25, -90, 150)],
    "T": [np.array([(-0.3, -0.5), (0.3, -0.5)]), np.array([(0.0, -0.5), (0.0, 0.5)])],
    "O": [arc(0, 0, 0.29, 0.5, 0, 360)],
    "P": [np.array([(-0.25, 0.5), (-0.25, -0.5), (0.02, -0.5)]), arc(0.02, -0.22, 0.28, 0.28, -90, 90),
          np.array([(0.02, 0.06), (-0.25, 0.06)])],
}  # fmt: skip


def draw_text(pen: Pen, letters: str, y: float, height: float, pitch: float, width: float, color: Color) -> None:
    """Draws letters side by side, centered.

    Args:
        pen: Pen to draw with.
        letters: Letters, each a key of `LETTERS`.
        y: Height of their middle.
        height: Height of a letter.
        pitch: Distance from letter to letter.
        width: Width of the strokes.
        color: RGB, 0..255.
    """
    for index, letter in enumerate(letters):
        x = (index - (len(letters) - 1) / 2) * pitch
        for points in LETTERS[letter]:
            pen.stroke(points * height + (x, y), width, color)


def draw_arrow(pen: Pen, x: float, y: float, length: float, rotation: float, color: Color) -> None:
    """Draws an arrow centered on (x, y) that points upwards, rotated clockwise by `rotation` degrees."""
    shaft = [(-0.13, 0.5), (0.13, 0.5), (0.13, 0.0), (-0.13, 0.0)]
    head = [(0.0, -0.55), (0.42, -0.06), (0.42, 0.1), (0.13, 0.0), (-0.13, 0.0), (-0.42, 0.1), (-0.42, -0.06)]
    for part in (shaft, head):
        pen.fill(transform(part, x, y, length, rotation), color)


def draw_roundabout(pen: Pen, radius: float, color: Color) -> None:
    """Draws three arrows that follow one another counterclockwise around a circle."""
    for start in (-90.0, 30.0, 150.0):
        pen.stroke(arc(0, 0, radius, radius, start - 14, start - 70), 0.19, color)
        tip = arc(0, 0, radius, radius, start - 84, start - 84)[0]
        head = [(0.0, -0.26), (0.29, 0.16), (-0.29, 0.16)]
        pen.fill(transform(head, tip[0], tip[1], 1.0, start - 84), color)


def draw_pedestrian(pen: Pen, x: float, y: float, scale: float, color: Color) -> None:
    """Draws a walking person, about 2 * scale high."""
    pen.disc(x + 0.02 * scale, y - 0.82 * scale, 0.19 * scale, color)
    limbs: list[tuple[Points, float]] = [
        ([(0.0, -0.42), (0.0, 0.02)], 0.36),
        ([(-0.02, 0.05), (-0.2, 0.45), (-0.5, 0.92)], 0.2),
        ([(0.02, 0.05), (0.28, 0.42), (0.36, 0.95)], 0.2),
        ([(-0.05, -0.5), (-0.38, -0.2), (-0.48, 0.1)], 0.14),
        ([(0.05, -0.5), (0.34, -0.22), (0.56, -0.1)], 0.14),
    ]
    for points, width in limbs:
        pen.stroke(transform(points, x, y, scale), width * scale, color)


def draw_worker(pen: Pen, x: float, y: float, scale: float, color: Color) -> None:
    """Draws a person bent over a shovel and a heap of earth, about 2 * scale wide."""
    pen.disc(x + 0.06 * scale, y - 0.78 * scale, 0.19 * scale, color)
    limbs: list[tuple[Points, float]] = [
        ([(-0.02, -0.44), (-0.36, 0.02)], 0.32),
        ([(-0.38, 0.05), (-0.2, 0.42), (-0.3, 0.92)], 0.2),
        ([(-0.42, 0.05), (-0.66, 0.45), (-0.8, 0.92)], 0.2),
        ([(0.0, -0.42), (0.24, -0.1), (0.4, 0.1)], 0.15),
        ([(-0.18, -0.1), (0.72, 0.52)], 0.09),
    ]
    for points, width in limbs:
        pen.stroke(transform(points, x, y, scale), width * scale, color)
    pen.fill(transform([(0.12, 0.98), (0.46, 0.52), (0.74, 0.42), (1.08, 0.98)], x, y, scale), color)


def draw_car(pen: Pen, x: float, y: float, scale: float, color: Color) -> None:
    """Draws a car from behind, about 2 * scale wide."""
    half = [(0.6, -0.75), (0.85, -0.2), (1.0, -0.05), (0.95, 0.55)]
    body = [*half, *((-side, down) for side, down in reversed(half))]
    pen.fill(transform(body, x, y, scale), color)
    pen.fill(transform([(-0.58, -0.18), (-0.42, -0.55), (0.42, -0.55), (0.58, -0.18)], x, y, scale), WHITE)
    for side in (-1, 1):
        wheel = [(side * 0.9, 0.5), (side * 0.9, 0.9), (side * 0.5, 0.9), (side * 0.5, 0.5)]
        pen.fill(transform(wheel, x, y, scale), color)
        pen.disc(x + side * 0.66 * scale, y + 0.18 * scale, 0.14 * scale, WHITE)
