"""The camera of the drive: where it is at each frame, and where a point of the world falls in its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EYE_HEIGHT = 1.35  # metres above the road, as behind a windscreen
STEP = 0.5  # metres a frame: 54 km/h at 30 frames a second


@dataclass(frozen=True)
class View:
    """The camera at one frame; rows and columns in pixels, lengths in metres.

    Attributes:
        height: of the picture.
        width: of the picture.
        focal: focal length in pixels.
        horizon: row of the horizon.
        middle: column of the direction of the road at the car.
        travelled: metres since the first frame.
        aside: metres the car is to the right of the middle of its lane.
        bend: curvature of the road, 1 / metres, positive to the right.
        heading: radians the road has turned since the first frame.
    """

    height: int
    width: int
    focal: float
    horizon: float
    middle: float
    travelled: float
    aside: float
    bend: float
    heading: float

    def column(self, right: float, ahead: float) -> float:
        """Column of a point `right` of the middle of the lane, `ahead` of the car."""
        return self.middle + self.focal * (right - self.aside + self.bend * ahead * ahead / 2) / ahead

    def row(self, up: float, ahead: float) -> float:
        """Row of a point `up` above the road, `ahead` of the car."""
        return self.horizon + self.focal * (EYE_HEIGHT - up) / ahead


def path(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> list[View]:
    """The views of a drive: slow bends, a little drift in the lane, and a shake of a pixel in 360 rows.

    Args:
        rng: source of the bends and of the shake.
        frames: number of views.
        size: height and width of the pictures.
    """
    height, width = size
    phase = rng.uniform(0, math.tau, 6)
    shake = np.zeros(2)
    heading, views = 0.0, []
    for number in range(frames):
        travelled = STEP * number
        bend = 0.0022 * math.sin(travelled / 61 + phase[0]) + 0.0018 * math.sin(travelled / 23 + phase[1])
        heading += bend * STEP
        shake = 0.7 * shake + rng.normal(0, 0.16, 2)
        nod = 0.8 * math.sin(travelled * 0.62 + phase[2]) + 0.4 * math.sin(travelled * 1.9 + phase[3])
        views.append(
            View(
                height=height,
                width=width,
                focal=0.85 * width,
                horizon=height * (0.47 + (nod + float(shake[0])) / 360),
                middle=width * 0.5 + height * float(shake[1]) / 360,
                travelled=travelled,
                aside=0.16 * math.sin(travelled / 19 + phase[4]),
                bend=bend,
                heading=heading,
            )
        )
    return views
