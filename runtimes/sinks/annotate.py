"""Draws decisions onto their frame, for windows, videos and the monitor page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.region import Region
from allweather.runtimes.text import printable
from allweather.runtimes.types import Decision, Image

Color = tuple[int, int, int]  # RGB

PANEL: Color = (14, 18, 24)
WHITE: Color = (245, 247, 250)
GRAY: Color = (168, 178, 190)
TRACK: Color = (98, 106, 120)
CONFIDENT: Color = (64, 196, 128)
UNCERTAIN: Color = (240, 190, 70)
WARNING: Color = (255, 92, 72)
REGION: Color = (90, 190, 255)

PANEL_OPACITY = 0.72  # the scene stays visible and the text readable, on snow and at night
MIN_CONFIDENT = 0.5  # below this confidence the bar has the color UNCERTAIN
DESIGN_PIXELS = 360.0  # short side of the frame for which the sizes below are given
FONT = cv2.FONT_HERSHEY_DUPLEX
CAPITAL_PIXELS = 22.0  # height of a capital letter of FONT at scale 1
OUTLINE_FONTS = hasattr(cv2, "FontFace")  # OpenCV 5 draws outline fonts, whose lines thicken as they grow
MAX_CHARACTERS = 256  # of a text, before it is cut to its width: as many as a class name of a bundle has
MIN_SIDE_PIXELS = 240  # frames with a shorter side are enlarged, or the text on them could not be read
MAX_SIDE_PIXELS = 1280  # frames are not enlarged beyond this


def annotate(image: Image, decisions: Sequence[Decision]) -> Image:
    """Returns a copy of `image` with decisions drawn on it.

    A single one has a panel with label, confidence, time, views, and whether it was late; of several, each has its
    label and confidence at its region. Regions are drawn as rectangles. Sizes follow the short side of the frame, so
    that it looks the same at 360 and at 1080 lines. Frames that are too small for text are enlarged by a whole factor.

    Args:
        image: uint8 [H, W, 3], RGB.
        decisions: The decisions to draw; any number of them.

    Returns:
        uint8 [n H, n W, 3], RGB, in new memory. The factor n is 1 for frames of 240 lines and more.
    """
    factor = max(1, min(-(-MIN_SIDE_PIXELS // min(image.shape[:2])), MAX_SIDE_PIXELS // max(image.shape[:2])))
    canvas = np.array(image.repeat(factor, 0).repeat(factor, 1) if factor > 1 else image, np.uint8, order="C")
    scale = min(canvas.shape[:2]) / DESIGN_PIXELS
    for decision in decisions:
        if decision.region is not None:
            _draw_region(canvas, decision.region, factor, scale)
    if len(decisions) == 1:
        _draw_panel(canvas, decisions[0], scale)
        return canvas
    for decision in decisions:
        if decision.region is not None:
            _draw_caption(canvas, decision, decision.region, factor, scale)
    return canvas


@dataclass(frozen=True)
class _Text:
    """A line of text with the font scale at which it is drawn."""

    text: str
    font_scale: float
    width: int  # pixels
    thickness: int

    @classmethod
    def fit(cls, text: str, height: float, max_width: float) -> _Text:
        """Makes capital letters `height` pixels high and shortens the text until it is `max_width` pixels wide."""
        encoding = "utf-8" if OUTLINE_FONTS else "ascii"  # FONT of OpenCV 4 has no other letters
        text = printable(text[:MAX_CHARACTERS]).encode(encoding, "replace").decode(encoding)
        font_scale = height / CAPITAL_PIXELS
        thickness = 1 if OUTLINE_FONTS else max(1, round(height / 13))

        def width(shown: str) -> int:
            return int(cv2.getTextSize(shown, FONT, font_scale, thickness)[0][0])

        if width(text) > max_width:
            candidates = [f"{text[:kept].rstrip()}..." for kept in range(len(text))]
            fitting = bisect_right(candidates, max_width, key=width)  # the longest one that fits
            text = candidates[max(0, fitting - 1)]
        return cls(text, font_scale, width(text), thickness)

    def draw(self, canvas: Image, left: float, baseline: float, color: Color) -> None:
        """Draws the text, antialiased, from the left end of its baseline."""
        position = (round(left), round(baseline))
        cv2.putText(canvas, self.text, position, FONT, self.font_scale, color, self.thickness, cv2.LINE_AA)


def _draw_panel(canvas: Image, decision: Decision, scale: float) -> None:
    """Draws a translucent panel at the top left: label and confidence, a bar, the time, and the views."""
    edge, pad = 10 * scale, 11 * scale
    width = min(canvas.shape[1] - 2 * edge, 290 * scale)
    height = 76 * scale
    _shade(canvas, edge, edge, width, height)
    left, right = edge + pad, edge + width - pad

    percent = _Text.fit(f"{100 * decision.confidence:.0f}%", 13 * scale, right - left)
    percent.draw(canvas, right - percent.width, edge + 26 * scale, WHITE)
    label = _Text.fit(decision.label, 13 * scale, right - left - percent.width - pad)
    label.draw(canvas, left, edge + 26 * scale, WHITE)

    _draw_bar(canvas, (left, edge + 40 * scale), right - left, 5 * scale, decision.confidence)

    milliseconds = 1000 * decision.times.total
    late = _Text.fit("LATE" if decision.late else "", 8 * scale, right - left)
    late.draw(canvas, right - late.width, edge + 63 * scale, WARNING)
    count = len(decision.views)
    details = f"{milliseconds:.1f} ms   {count} view{'s' if count != 1 else ''}: {' '.join(decision.views)}"
    max_width = right - left - (late.width + pad if decision.late else 0)
    _Text.fit(details, 8 * scale, max_width).draw(canvas, left, edge + 63 * scale, GRAY)


def _draw_caption(canvas: Image, decision: Decision, region: Region, factor: int, scale: float) -> None:
    """Draws label and confidence above the region, or inside of it where there is no space above."""
    height, pad = 20 * scale, 5 * scale
    percent = f"{100 * decision.confidence:.0f}%" if decision.label else "?"
    text = _Text.fit(f"{decision.label} {percent}".lstrip(), 9 * scale, max(height, canvas.shape[1] - 2 * pad))
    left = max(0.0, min(factor * region.x, canvas.shape[1] - text.width - 2 * pad))
    top = factor * region.y - height if factor * region.y >= height else factor * region.y
    _shade(canvas, left, top, text.width + 2 * pad, height)
    text.draw(canvas, left + pad, top + 14.5 * scale, WHITE if decision.confidence >= MIN_CONFIDENT else UNCERTAIN)


def _shade(canvas: Image, left: float, top: float, width: float, height: float) -> None:
    """Darkens a rectangle of the canvas."""
    y, x = round(top), round(left)
    part = canvas[y : y + max(1, round(height)), x : x + max(1, round(width))]
    part[:] = cv2.addWeighted(part, 1 - PANEL_OPACITY, np.full_like(part, PANEL), PANEL_OPACITY, 0)


def _draw_bar(canvas: Image, start: tuple[float, float], length: float, thickness: float, confidence: float) -> None:
    """Draws a bar with round ends, filled up to the confidence (0..1)."""
    color = CONFIDENT if confidence >= MIN_CONFIDENT else UNCERTAIN
    for end, end_color in ((1.0, TRACK), (min(max(confidence, 0.0), 1.0), color)):
        first = (round(start[0] + thickness / 2), round(start[1]))
        last = (round(start[0] + thickness / 2 + (length - thickness) * end), round(start[1]))
        cv2.line(canvas, first, last, end_color, max(1, round(thickness)), cv2.LINE_AA)


def _draw_region(canvas: Image, region: Region, factor: int, scale: float) -> None:
    """Draws a rectangle on the edge of the region, with a dark line around it for bright scenes."""
    first = (factor * region.x, factor * region.y)
    last = (factor * (region.x + region.width) - 1, factor * (region.y + region.height) - 1)
    thickness = max(1, round(1.5 * scale))
    cv2.rectangle(canvas, first, last, PANEL, 3 * thickness, cv2.LINE_AA)
    cv2.rectangle(canvas, first, last, REGION, thickness, cv2.LINE_AA)
