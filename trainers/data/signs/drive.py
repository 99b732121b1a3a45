"""A drive past road signs, as a camera behind the windscreen sees it, with the truth for every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allweather.trainers.data.signs import weather
from allweather.trainers.data.signs.landscape.camera import View, path
from allweather.trainers.data.signs.landscape.ground import Ground, fog
from allweather.trainers.data.signs.landscape.scenery import lay
from allweather.trainers.data.signs.landscape.sky import Panorama
from allweather.trainers.data.signs.landscape.texture import Bytes
from allweather.trainers.data.signs.roadside import CELL, Sign, corners_seen, signs_ahead, stand, things

FAR = 100.0  # metres from which things are drawn; the last 25 of them they come out of the haze
READABLE = 16  # pixels: no smaller sign is to be read
SMALLEST = (120, 160)

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DriveFrame:
    """A frame of the drive and what is true of it.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        label: class of the sign to read, an index into `CLASSES`: the nearest one that is wholly in the
            picture and larger than 16 pixels; None when there is none.
        box: left, top, width and height in pixels of that sign; None when there is none.
        stretch: the weather, one of `weather.STRETCHES`.
    """

    image: Bytes
    label: int | None
    box: Box | None
    stretch: str


def drive(
    seed: int, frames: int, size: tuple[int, int] = (360, 640), *, stretches: bool = True
) -> Iterator[DriveFrame]:
    """Drives past signs; 30 frames are a second.

    Args:
        seed: another seed gives another road.
        frames: how many, at least 1.
        size: height and width in pixels, at least 120 x 160.
        stretches: darken, disturb and blur parts as `weather.schedule` says; otherwise all is clean.

    Returns:
        The frames, made one by one: 10 ms each at 360 x 640 on a core of a busy 2.5 GHz Xeon, weather apart.

    Raises:
        ValueError: an argument is out of range.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative; got {seed}")
    if frames < 1:
        raise ValueError(f"frames must be at least 1; got {frames}")
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        raise ValueError(f"size must be at least {SMALLEST[0]} x {SMALLEST[1]} pixels; got {size[0]} x {size[1]}")
    return _frames(seed, frames, size, stretches)


def _frames(seed: int, frames: int, size: tuple[int, int], stretches: bool) -> Iterator[DriveFrame]:
    views = path(np.random.default_rng([seed, 9]), frames, size)
    rng = np.random.default_rng([seed, 10])
    panorama, ground = Panorama(rng, views[0]), Ground(rng, views[0])
    schedule = weather.schedule(frames) if stretches else ("clean",) * frames
    for number, (view, stretch) in enumerate(zip(views, schedule, strict=True)):
        canvas = np.empty((*size, 3), np.uint8)
        panorama.paint(canvas, view)
        ground.paint(canvas, view)
        ahead = list(signs_ahead(seed, view.travelled, FAR))
        _fill(canvas, view, seed, ahead)
        label, box = _truth(ahead, view)
        image = weather.apply(canvas, stretch, np.random.default_rng([seed, 14, number]))
        yield DriveFrame(image, label, box, stretch)


def _fill(canvas: Bytes, view: View, seed: int, signs: list[Sign]) -> None:
    """Draws all that stands along the road, far before near, in place."""
    waiting = list(signs)
    first = int(view.travelled // CELL)
    for cell in range(first + int(FAR / CELL), first - 1, -1):
        while waiting and waiting[-1].place >= cell * CELL:
            stand(canvas, waiting.pop(), view)
        for thing in things(seed, cell):
            ahead = thing.place - view.travelled
            if 2.0 < ahead < FAR:
                column, row = view.column(thing.right, ahead), view.row(0, ahead)
                side = view.focal * thing.sprite.metres / ahead
                lay(canvas, thing.sprite, column, row, side, fog(ahead), min(1.0, (FAR - ahead) / 25))
    for sign in reversed(waiting):
        stand(canvas, sign, view)


def _truth(signs: list[Sign], view: View) -> tuple[int, Box] | tuple[None, None]:
    """Class and box of the sign to read; signs come nearest first."""
    for sign in signs:
        corners = corners_seen(sign, view)
        left, top = (int(value) for value in np.floor(corners.min(axis=0)))
        right, bottom = (int(value) for value in np.ceil(corners.max(axis=0)))
        inside = left >= 0 and top >= 0 and right <= view.width and bottom <= view.height
        if inside and max(right - left, bottom - top) > READABLE:
            return sign.label, (left, top, right - left, bottom - top)
    return None, None
