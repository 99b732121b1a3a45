"""The faces of the road signs, one flat image per class; each is drawn once, large, and then scaled down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.texture import Color
from allweather.trainers.data.signs.sign.pictograms import (
    BLACK,
    BLUE,
    GRAY,
    RED,
    WHITE,
    YELLOW,
    Pen,
    draw_arrow,
    draw_car,
    draw_pedestrian,
    draw_roundabout,
    draw_text,
    draw_worker,
)

DRAWING_SIDE = 1024  # pixels; four times the finest level, so that INTER_AREA makes its edges smooth
LEVELS = (256, 128, 64, 32, 16, 8)  # sides in pixels of the copies of a face
REACH = 0.96  # the outline of every sign touches the square -REACH..REACH


def _draw_triangle(pen: Pen, reach: float, color: Color, up: bool = True) -> None:
    """Draws a triangle with rounded corners, pointing up or down; `reach`, up to 1, is its size."""
    sign = 1 if up else -1
    middle, radius = 0.25 * sign, 0.1
    corners = [(0.0, -1.13), (0.87, 0.61), (-0.87, 0.61)]
    points = [(x * reach * 0.98, middle + sign * y * reach) for x, y in corners]
    pen.fill(points, color)
    pen.stroke([*points, points[0]], 2 * radius, color)


def _draw_disc(pen: Pen, color: Color, rim: Color) -> None:
    pen.disc(0, 0, REACH, rim)
    pen.disc(0, 0, REACH - 0.05, color)


def _draw_square(pen: Pen, color: Color) -> None:
    for half, shade in ((REACH, WHITE), (REACH - 0.06, color)):
        edge = half - 0.1
        corners = [(-edge, -edge), (edge, -edge), (edge, edge), (-edge, edge)]
        pen.fill(corners, shade)
        pen.stroke([*corners, corners[0]], 0.2, shade)


def _draw_prohibition(pen: Pen) -> None:
    _draw_disc(pen, RED, WHITE)
    pen.disc(0, 0, 0.7, WHITE)


def _draw_warning(pen: Pen) -> None:
    _draw_triangle(pen, 1.0, WHITE)
    _draw_triangle(pen, 0.94, RED)
    _draw_triangle(pen, 0.6, WHITE)


def _draw_stop(pen: Pen) -> None:
    angle = np.radians(np.arange(22.5, 360, 45))
    for radius, color in ((REACH, WHITE), (0.89, RED)):
        pen.fill(radius / np.cos(np.pi / 8) * np.stack([np.cos(angle), np.sin(angle)], 1), color)
    draw_text(pen, "STOP", 0.0, 0.58, 0.415, 0.105, WHITE)


def _draw_yield(pen: Pen) -> None:
    _draw_triangle(pen, 1.0, WHITE, up=False)
    _draw_triangle(pen, 0.94, RED, up=False)
    _draw_triangle(pen, 0.52, WHITE, up=False)


def _draw_priority(pen: Pen) -> None:
    for half, color in ((REACH, GRAY), (0.93, WHITE), (0.66, YELLOW)):
        pen.fill([(0, -half), (half, 0), (0, half), (-half, 0)], color)


def _draw_no_entry(pen: Pen) -> None:
    _draw_disc(pen, RED, WHITE)
    pen.fill([(-0.7, -0.17), (0.7, -0.17), (0.7, 0.17), (-0.7, 0.17)], WHITE)


def _draw_speed_limit(pen: Pen, letters: str) -> None:
    _draw_prohibition(pen)
    draw_text(pen, letters, 0.0, 0.64, 0.58, 0.15, BLACK)


def _draw_no_overtaking(pen: Pen) -> None:
    _draw_prohibition(pen)
    draw_car(pen, -0.32, 0.03, 0.285, RED)
    draw_car(pen, 0.32, 0.03, 0.285, BLACK)


def _draw_mandatory_direction(pen: Pen, rotation: float) -> None:
    _draw_disc(pen, BLUE, WHITE)
    draw_arrow(pen, 0.0, 0.0, 1.25, rotation, WHITE)


def _draw_roundabout(pen: Pen) -> None:
    _draw_disc(pen, BLUE, WHITE)
    draw_roundabout(pen, 0.47, WHITE)


def _draw_crossing(pen: Pen) -> None:
    _draw_square(pen, BLUE)
    pen.fill([(0, -0.8), (0.8, 0.68), (-0.8, 0.68)], WHITE)
    draw_pedestrian(pen, 0.0, 0.16, 0.48, BLACK)


def _draw_parking(pen: Pen) -> None:
    _draw_square(pen, BLUE)
    draw_text(pen, "P", 0.0, 1.2, 1.0, 0.24, WHITE)


def _draw_roadworks(pen: Pen) -> None:
    _draw_warning(pen)
    draw_worker(pen, -0.03, 0.2, 0.5, BLACK)


def _draw_children(pen: Pen) -> None:
    _draw_warning(pen)
    draw_pedestrian(pen, -0.2, 0.17, 0.47, BLACK)
    draw_pedestrian(pen, 0.31, 0.34, 0.31, BLACK)


_DRAWINGS: Mapping[str, Callable[[Pen], None]] = MappingProxyType(
    {
        "stop": _draw_stop,
        "yield": _draw_yield,
        "priority": _draw_priority,
        "no_entry": _draw_no_entry,
        "speed_30": lambda pen: _draw_speed_limit(pen, "30"),
        "speed_50": lambda pen: _draw_speed_limit(pen, "50"),
        "speed_80": lambda pen: _draw_speed_limit(pen, "80"),
        "no_overtaking": _draw_no_overtaking,
        "keep_left": lambda pen: _draw_mandatory_direction(pen, 225.0),
        "keep_right": lambda pen: _draw_mandatory_direction(pen, 135.0),
        "ahead_only": lambda pen: _draw_mandatory_direction(pen, 0.0),
        "roundabout": _draw_roundabout,
        "crossing": _draw_crossing,
        "parking": _draw_parking,
        "roadworks": _draw_roadworks,
        "children": _draw_children,
    }
)

CLASSES: tuple[str, ...] = tuple(_DRAWINGS)


@lru_cache(maxsize=len(_DRAWINGS))
def _face_levels(label: int) -> tuple[Image, ...]:
    """Draws the face of a class and scales it to each side of `LEVELS`."""
    pen = Pen(DRAWING_SIDE)
    _DRAWINGS[CLASSES[label]](pen)
    levels = tuple(
        np.asarray(cv2.resize(pen.canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for side in LEVELS
    )
    for level in levels:  # all callers share them
        level.setflags(write=False)
    return levels


def sign_face(label: int, side: float) -> Image:
    """Returns the face of a class in the smallest size of `LEVELS` that need not be enlarged to be drawn.

    Args:
        label: Index of the class in `CLASSES`.
        side: Side in pixels at which the sign will be drawn.

    Returns:
        uint8 [s, s, 4], s in `LEVELS`, read-only: RGBA with premultiplied alpha, which is 0 outside the outline.
    """
    return _face_levels(label)[level_for(side)]


def level_for(side: float) -> int:
    """Returns the index in `LEVELS` of the smallest level of at least `side` pixels, or 0 (the largest level)."""
    large_enough = [index for index, level in enumerate(LEVELS) if level >= side]
    return large_enough[-1] if large_enough else 0
