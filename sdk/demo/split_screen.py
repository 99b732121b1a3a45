"""One picture of the drive: the frame, and below it what each system reads on the same sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.region import Region
from allweather.runtimes.types import Image
from allweather.trainers.data.signs import CLASSES
from allweather.trainers.data.signs.landscape.texture import composite
from allweather.trainers.data.signs.sign.sign_faces import sign_face

Color = tuple[int, int, int]  # RGB

BACKGROUND: Color = (17, 24, 39)
TEXT: Color = (229, 231, 235)
FAINT: Color = (148, 163, 184)
RIGHT: Color = (0, 184, 135)  # blue-green and vermilion are told apart with every kind of color vision
WRONG: Color = (235, 110, 30)
REGION: Color = (90, 190, 255)
STRIP_HEIGHT = 152  # pixels, below the frame
SIGN_SIDE = 84  # pixels, of the signs in the strip
MARGIN = 10
FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class Reading:
    """What one system reads on a frame.

    Attributes:
        label: Index of the predicted class.
        confidence: Its probability, 0..1.
        correct: Whether it is the true class; None without a sign.
        wrong_share: Share of the frames of this stretch that the system has read wrongly so far, 0..1.
        note: What the system did, such as "4 views in 3.1 ms".
    """

    label: int
    confidence: float
    correct: bool | None
    wrong_share: float
    note: str


def split_screen(image: Image, region: Region, condition: str, readings: Mapping[str, Reading]) -> Image:
    """Draws the frame and, below it, a panel for each system.

    Args:
        image: The frame, uint8 [H, W, 3], RGB.
        region: The part of it that is decided on.
        condition: Condition of the frame.
        readings: What each system reads, by its name.

    Returns:
        uint8 [H + 152, W, 3], RGB.
    """
    height, width = image.shape[:2]
    canvas = np.empty((height + STRIP_HEIGHT, width, 3), np.uint8)
    canvas[:height] = image
    canvas[height:] = BACKGROUND
    has_sign = any(reading.correct is not None for reading in readings.values())
    if has_sign:
        corner = (region.x + region.width, region.y + region.height)
        cv2.rectangle(canvas, (region.x - 2, region.y - 2), corner, REGION, 2, cv2.LINE_AA)
    _draw_label(canvas, condition)
    seen = cv2.resize(region.crop(image), (SIGN_SIDE, SIGN_SIDE), interpolation=cv2.INTER_LINEAR)
    panel_width = width // len(readings)
    for index, (name, reading) in enumerate(readings.items()):
        panel = canvas[height:, index * panel_width : (index + 1) * panel_width]
        _draw_panel(panel, name, reading, np.asarray(seen, np.uint8) if has_sign else None)
    return canvas


def _draw_label(canvas: Image, condition: str) -> None:
    (width, _), _ = cv2.getTextSize(condition, FONT, 0.8, 1)
    cv2.rectangle(canvas, (0, 0), (width + 2 * MARGIN, 34), BACKGROUND, -1)
    _write(canvas, condition, (MARGIN, 25), 0.8, TEXT)


def _draw_panel(panel: Image, name: str, reading: Reading, seen: Image | None) -> None:
    """Draws one system: its name, what it sees, the sign that it reads, and whether that is right."""
    cv2.line(panel, (0, 0), (0, len(panel)), (51, 65, 85), 1)
    _write(panel, name, (MARGIN, 20), 0.5, TEXT)
    if seen is None or reading.correct is None:
        _write(panel, "no sign to read", (MARGIN, 70), 0.45, FAINT)
    else:
        color = RIGHT if reading.correct else WRONG
        top, left = 30, 2 * MARGIN + SIGN_SIDE + 12
        panel[top : top + SIGN_SIDE, MARGIN : MARGIN + SIGN_SIDE] = seen
        face = np.asarray(cv2.resize(sign_face(reading.label, SIGN_SIDE), (SIGN_SIDE, SIGN_SIDE)), np.uint8)
        composite(panel[top : top + SIGN_SIDE, left : left + SIGN_SIDE], face)
        cv2.rectangle(panel, (left - 3, top - 3), (left + SIGN_SIDE + 2, top + SIGN_SIDE + 2), color, 2)
        _draw_mark(panel, (left + SIGN_SIDE - 8, top + SIGN_SIDE - 8), reading.correct, color)
        _write(panel, f"{CLASSES[reading.label]}  {100 * reading.confidence:.0f} %", (MARGIN, 130), 0.42, color)
    _write(panel, f"misread here so far {100 * reading.wrong_share:.0f} %   {reading.note}", (MARGIN, 146), 0.36, FAINT)


def _draw_mark(panel: Image, center: tuple[int, int], correct: bool, color: Color) -> None:
    """Draws a check mark or a cross on a disc, so that right and wrong differ in more than their colors."""
    x, y = center
    cv2.circle(panel, center, 12, color, -1, cv2.LINE_AA)
    lines = [((-6, 0), (-2, 5)), ((-2, 5), (6, -5))] if correct else [((-5, -5), (5, 5)), ((-5, 5), (5, -5))]
    for (x1, y1), (x2, y2) in lines:
        cv2.line(panel, (x + x1, y + y1), (x + x2, y + y2), (255, 255, 255), 2, cv2.LINE_AA)


def _write(canvas: Image, text: str, place: tuple[int, int], size: float, color: Color) -> None:
    cv2.putText(canvas, text, place, FONT, size, color, 1, cv2.LINE_AA)
