"""The camera of the drive: its pose at each frame, and the projection of points of the world into its image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CAMERA_HEIGHT = 1.35  # meters above the road, as behind a windscreen
METERS_PER_FRAME = 1.1  # 119 km/h at 30 frames a second


@dataclass(frozen=True)
class CameraPose:
    """The camera at one frame. Rows and columns are in pixels, lengths in meters.

    Attributes:
        height: Height of the image.
        width: Width of the image.
        focal: Focal length in pixels.
        horizon: Row of the horizon.
        middle: Column of the point at the horizon towards which the road runs at the car.
        travelled: Meters since the first frame.
        aside: Meters from the middle of the lane to the car, positive to the right.
        bend: Curvature of the road in 1 / meters, positive to the right.
        heading: Radians that the road has turned since the first frame.
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
        """Returns the column of a point `right` meters right of the middle of the lane and `ahead` of the car."""
        return self.middle + self.focal * (right - self.aside + self.bend * ahead * ahead / 2) / ahead

    def row(self, up: float, ahead: float) -> float:
        """Returns the row of a point `up` meters above the road and `ahead` meters ahead of the car."""
        return self.horizon + self.focal * (CAMERA_HEIGHT - up) / ahead


def camera_path(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> list[CameraPose]:
    """Returns the poses of a drive: slow bends, a little drift in the lane, and a shake of a pixel in 360 rows.

    Args:
        rng: Source of the bends and of the shake.
        frames: Number of frames.
        size: Height and width of the images in pixels.
    """
    height, width = size
    phase = rng.uniform(0, math.tau, 6)
    shake = np.zeros(2)
    heading, poses = 0.0, []
    for index in range(frames):
        travelled = METERS_PER_FRAME * index
        bend = 0.0022 * math.sin(travelled / 61 + phase[0]) + 0.0018 * math.sin(travelled / 23 + phase[1])
        heading += bend * METERS_PER_FRAME
        shake = 0.7 * shake + rng.normal(0, 0.16, 2)
        nod = 0.8 * math.sin(travelled * 0.62 + phase[2]) + 0.4 * math.sin(travelled * 1.9 + phase[3])
        poses.append(
            CameraPose(
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
    return poses
