"""The faces of the road signs, one flat picture a class; drawn once, large, then reduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.texture import Bytes, Color
from allweather.trainers.data.signs.sign import pictograms as draw
from allweather.trainers.data.signs.sign.pictograms import BLACK, BLUE, GRAY, RED, WHITE, YELLOW, Pen

DRAWN = 1024  # four times the finest level: its edges come out smooth by INTER_AREA
LEVELS = (256, 128, 64, 32, 16, 8)
REACH = 0.96  # every outline touches the square -REACH..REACH of its face


def _triangle(pen: Pen, reach: float, color: Color, up: bool = True) -> None:
    """A triangle with rounded corners; `reach` up to 1 gives the size."""
    sign = 1 if up else -1
    middle, radius = 0.25 * sign, 0.1
    corners = [(0.0, -1.13), (0.87, 0.61), (-0.87, 0.61)]
    points = [(x * reach * 0.98, middle + sign * y * reach) for x, y in corners]
    pen.fill(points, color)
    pen.stroke([*points, points[0]], 2 * radius, color)


def _disc(pen: Pen, color: Color, rim: Color) -> None:
    pen.disc(0, 0, REACH, rim)
    pen.disc(0, 0, REACH - 0.05, color)


def _square(pen: Pen, color: Color) -> None:
    for half, shade in ((REACH, WHITE), (REACH - 0.06, color)):
        edge = half - 0.1
        corners = [(-edge, -edge), (edge, -edge), (edge, edge), (-edge, edge)]
        pen.fill(corners, shade)
        pen.stroke([*corners, corners[0]], 0.2, shade)


def _prohibition(pen: Pen) -> None:
    _disc(pen, RED, WHITE)
    pen.disc(0, 0, 0.7, WHITE)


def _warning(pen: Pen) -> None:
    _triangle(pen, 1.0, WHITE)
    _triangle(pen, 0.94, RED)
    _triangle(pen, 0.6, WHITE)


def _stop(pen: Pen) -> None:
    angle = np.radians(np.arange(22.5, 360, 45))
    for radius, color in ((REACH, WHITE), (0.89, RED)):
        pen.fill(radius / np.cos(np.pi / 8) * np.stack([np.cos(angle), np.sin(angle)], 1), color)
    draw.text(pen, "STOP", 0.0, 0.58, 0.415, 0.105, WHITE)


def _yield(pen: Pen) -> None:
    _triangle(pen, 1.0, WHITE, up=False)
    _triangle(pen, 0.94, RED, up=False)
    _triangle(pen, 0.52, WHITE, up=False)


def _priority(pen: Pen) -> None:
    for half, color in ((REACH, GRAY), (0.93, WHITE), (0.66, YELLOW)):
        pen.fill([(0, -half), (half, 0), (0, half), (-half, 0)], color)


def _no_entry(pen: Pen) -> None:
    _disc(pen, RED, WHITE)
    pen.fill([(-0.7, -0.17), (0.7, -0.17), (0.7, 0.17), (-0.7, 0.17)], WHITE)


def _speed(pen: Pen, letters: str) -> None:
    _prohibition(pen)
    draw.text(pen, letters, 0.0, 0.64, 0.58, 0.15, BLACK)


def _no_overtaking(pen: Pen) -> None:
    _prohibition(pen)
    draw.car(pen, -0.32, 0.03, 0.285, RED)
    draw.car(pen, 0.32, 0.03, 0.285, BLACK)


def _arrow(pen: Pen, turn: float) -> None:
    _disc(pen, BLUE, WHITE)
    draw.arrow(pen, 0.0, 0.0, 1.25, turn, WHITE)


def _roundabout(pen: Pen) -> None:
    _disc(pen, BLUE, WHITE)
    draw.circling(pen, 0.47, WHITE)


def _crossing(pen: Pen) -> None:
    _square(pen, BLUE)
    pen.fill([(0, -0.8), (0.8, 0.68), (-0.8, 0.68)], WHITE)
    draw.person(pen, 0.0, 0.16, 0.48, BLACK)


def _parking(pen: Pen) -> None:
    _square(pen, BLUE)
    draw.text(pen, "P", 0.0, 1.2, 1.0, 0.24, WHITE)


def _roadworks(pen: Pen) -> None:
    _warning(pen)
    draw.digger(pen, -0.03, 0.2, 0.5, BLACK)


def _children(pen: Pen) -> None:
    _warning(pen)
    draw.person(pen, -0.2, 0.17, 0.47, BLACK)
    draw.person(pen, 0.31, 0.34, 0.31, BLACK)


_DRAWINGS: Mapping[str, Callable[[Pen], None]] = MappingProxyType(
    {
        "stop": _stop,
        "yield": _yield,
        "priority": _priority,
        "no_entry": _no_entry,
        "speed_30": lambda pen: _speed(pen, "30"),
        "speed_50": lambda pen: _speed(pen, "50"),
        "speed_80": lambda pen: _speed(pen, "80"),
        "no_overtaking": _no_overtaking,
        "keep_left": lambda pen: _arrow(pen, 225.0),
        "keep_right": lambda pen: _arrow(pen, 135.0),
        "ahead_only": lambda pen: _arrow(pen, 0.0),
        "roundabout": _roundabout,
        "crossing": _crossing,
        "parking": _parking,
        "roadworks": _roadworks,
        "children": _children,
    }
)

CLASSES: tuple[str, ...] = tuple(_DRAWINGS)


@lru_cache(maxsize=len(_DRAWINGS))
def _levels(label: int) -> tuple[Bytes, ...]:
    pen = Pen(DRAWN)
    _DRAWINGS[CLASSES[label]](pen)
    levels = tuple(
        np.asarray(cv2.resize(pen.canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for side in LEVELS
    )
    for level in levels:  # they are shared by all callers
        level.setflags(write=False)
    return levels


def face(label: int, side: float) -> Bytes:
    """The face of a class, at the smallest level that is no smaller than it will be seen.

    Args:
        label: index into `CLASSES`.
        side: of the sign where it will be drawn, in pixels.

    Returns:
        uint8 [s, s, 4], s in `LEVELS`, read-only: RGB times coverage, and coverage (0 outside the outline).
    """
    fitting = [place for place, level in enumerate(LEVELS) if level >= side]
    return _levels(label)[fitting[-1] if fitting else 0]
