"""A drive past road signs, as a camera behind the windscreen sees it, with ground truth for every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.data.signs.conditions.schedule import CLEAR, apply_condition, condition_schedule
from allweather.trainers.data.signs.landscape.camera import CameraPose, camera_path
from allweather.trainers.data.signs.landscape.ground import Ground, fog_opacity
from allweather.trainers.data.signs.landscape.scenery import draw_sprite
from allweather.trainers.data.signs.landscape.sky import Panorama
from allweather.trainers.data.signs.roadside import (
    CELL_METERS,
    Sign,
    draw_sign,
    project_sign,
    scenery_in_cell,
    signs_ahead,
)

VIEW_METERS = 100.0  # objects that are farther away are not drawn
FADE_METERS = 25  # objects fade in over the last meters of that distance
READABLE_PIXELS = 16  # only a sign that is larger has a label
MIN_SIZE = (120, 160)  # height and width in pixels

Box = tuple[int, int, int, int]  # left, top, width and height in pixels


@dataclass(frozen=True)
class DriveFrame:
    """A frame of the drive and its ground truth.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        label: Class of the sign to read, an index into `CLASSES`: the nearest sign that is wholly in the image and
            larger than 16 pixels. None if there is none.
        box: Left, top, width and height in pixels of that sign; None if there is none.
        sign: Number of that sign along the road, which tells one sign from the next; None if there is none.
        condition: One of `conditions.CONDITIONS`, such as "clear" or "fog".
    """

    image: Image
    label: int | None
    box: Box | None
    sign: int | None
    condition: str


def render_drive(
    seed: int, frames: int, size: tuple[int, int] = (360, 640), *, conditions: bool = True
) -> Iterator[DriveFrame]:
    """Renders a drive past signs, at 30 frames a second.

    Args:
        seed: Random seed; another seed gives another road.
        frames: Number of frames, at least 1.
        size: Height and width in pixels, at least 120 x 160.
        conditions: Whether most parts of the drive are in bad weather or seen through a bad camera, as
            `condition_schedule` says; otherwise all frames are clear.

    Returns:
        The frames, rendered one by one: 10 ms each at 360 x 640 on one core of a busy 2.5 GHz Xeon, conditions not
        included.

    Raises:
        UsageError: An argument is out of range.
    """
    if seed < 0:
        raise UsageError(f"seed must not be negative; got {seed}")
    if frames < 1:
        raise UsageError(f"frames must be at least 1; got {frames}")
    if size[0] < MIN_SIZE[0] or size[1] < MIN_SIZE[1]:
        raise UsageError(f"size must be at least {MIN_SIZE[0]} x {MIN_SIZE[1]} pixels; got {size[0]} x {size[1]}")
    return _render_frames(seed, frames, size, conditions)


def _render_frames(seed: int, frames: int, size: tuple[int, int], conditions: bool) -> Iterator[DriveFrame]:
    poses = camera_path(np.random.default_rng([seed, 9]), frames, size)
    rng = np.random.default_rng([seed, 10])
    panorama, ground = Panorama(rng, poses[0]), Ground(rng, poses[0])
    schedule = condition_schedule(frames) if conditions else (CLEAR,) * frames
    for index, (pose, condition) in enumerate(zip(poses, schedule, strict=True)):
        canvas = np.empty((*size, 3), np.uint8)
        panorama.paint(canvas, pose)
        ground.paint(canvas, pose)
        signs = list(signs_ahead(seed, pose.travelled, VIEW_METERS))
        _draw_roadside(canvas, pose, seed, signs)
        label, box, sign = _ground_truth(signs, pose)
        image = apply_condition(canvas, condition, index, seed)
        yield DriveFrame(image, label, box, sign, condition)


def _draw_roadside(canvas: Image, pose: CameraPose, seed: int, signs: list[Sign]) -> None:
    """Draws everything that stands along the road, from far to near, in place; `signs` come nearest first."""
    waiting = list(signs)
    first = int(pose.travelled // CELL_METERS)
    for cell in range(first + int(VIEW_METERS / CELL_METERS), first - 1, -1):
        while waiting and waiting[-1].position >= cell * CELL_METERS:
            draw_sign(canvas, waiting.pop(), pose)
        for item in scenery_in_cell(seed, cell):
            ahead = item.position - pose.travelled
            if 2.0 < ahead < VIEW_METERS:
                column, row = pose.column(item.right, ahead), pose.row(0, ahead)
                side = pose.focal * item.sprite.meters / ahead
                opacity = min(1.0, (VIEW_METERS - ahead) / FADE_METERS)
                draw_sprite(canvas, item.sprite, column, row, side, fog_opacity(ahead), opacity)
    for sign in reversed(waiting):
        draw_sign(canvas, sign, pose)


def _ground_truth(signs: list[Sign], pose: CameraPose) -> tuple[int, Box, int] | tuple[None, None, None]:
    """Returns class, box and number of the sign to read; `signs` come nearest first."""
    for sign in signs:
        corners = project_sign(sign, pose)
        left, top = (int(value) for value in np.floor(corners.min(axis=0)))
        right, bottom = (int(value) for value in np.ceil(corners.max(axis=0)))
        inside = left >= 0 and top >= 0 and right <= pose.width and bottom <= pose.height
        if inside and max(right - left, bottom - top) > READABLE_PIXELS:
            return sign.label, (left, top, right - left, bottom - top), sign.index
    return None, None, None
