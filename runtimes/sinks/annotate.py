"""Draws a decision onto its frame, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.preprocess import Region
from allweather.runtimes.types import Decision, Image

Color = tuple[int, int, int]  # RGB

PANEL: Color = (14, 18, 24)
WHITE: Color = (245, 247, 250)
GRAY: Color = (168, 178, 190)
TRACK: Color = (98, 106, 120)
SURE: Color = (64, 196, 128)
UNSURE: Color = (240, 190, 70)
WARNING: Color = (255, 92, 72)
REGION: Color = (90, 190, 255)

OPACITY = 0.72  # of the panel: the scene stays visible, the text readable on snow and at night
HALF_SURE = 0.5  # below this confidence the bar changes its color
DESIGNED_FOR = 360.0  # the short side of the frame, in pixels, at which the sizes below are meant
FONT = cv2.FONT_HERSHEY_DUPLEX
CAPITAL = 22.0  # pixels a capital letter of FONT is high at scale 1
OUTLINES = hasattr(cv2, "FontFace")  # OpenCV 5 draws outlines, which thicken by themselves as they grow
READABLE = 240  # pixels: frames with a shorter side are enlarged, or the text on them would be dots
LONGEST = 1280  # pixels: what frames are not enlarged beyond


def annotate(image: Image, decision: Decision, region: Region | None = None) -> Image:
    """A copy of `image` with the decision on it: label, confidence, time, views, whether it was late.

    Sizes follow the short side of the frame, so that it reads the same at 360 and at 1080 lines. Frames too
    small to write on are enlarged by a whole number.

    Args:
        image: uint8 [H, W, 3], RGB.
        decision: what to show.
        region: the part that was decided on; drawn when given.

    Returns:
        uint8 [n H, n W, 3], RGB; new memory. n is 1 for frames of 240 lines and more.
    """
    times = max(1, min(-(-READABLE // min(image.shape[:2])), LONGEST // max(image.shape[:2])))
    canvas = np.array(image.repeat(times, 0).repeat(times, 1) if times > 1 else image, np.uint8, order="C")
    scale = min(canvas.shape[:2]) / DESIGNED_FOR
    if region is not None:
        _draw_region(canvas, region, times, scale)
    _draw_panel(canvas, decision, scale)
    return canvas


@dataclass(frozen=True)
class _Text:
    """A line of text that is as high as asked and no wider than allowed."""

    text: str
    size: float  # of cv2.putText
    width: int  # pixels
    thickness: int

    @classmethod
    def fit(cls, text: str, height: float, room: float) -> _Text:
        """Sets `text` with capitals `height` pixels high, shortened until it fits into `room` pixels."""
        known = "utf-8" if OUTLINES else "ascii"  # FONT of OpenCV 4 has no other letters
        text = text.encode(known, "replace").decode(known)
        size = height / CAPITAL
        thickness = 1 if OUTLINES else max(1, round(height / 13))
        whole = text
        kept = len(text)
        while kept and cv2.getTextSize(text, FONT, size, thickness)[0][0] > room:
            kept -= 1
            text = whole[:kept].rstrip() + "..."
        return cls(text, size, int(cv2.getTextSize(text, FONT, size, thickness)[0][0]), thickness)

    def draw(self, canvas: Image, left: float, baseline: float, color: Color) -> None:
        """Draws it, antialiased."""
        place = (round(left), round(baseline))
        cv2.putText(canvas, self.text, place, FONT, self.size, color, self.thickness, cv2.LINE_AA)


def _draw_panel(canvas: Image, decision: Decision, scale: float) -> None:
    """A translucent panel at the top left: label and confidence, a bar, and how the decision was made."""
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
    how = f"{milliseconds:.1f} ms   {count} view{'s' if count != 1 else ''}: {' '.join(decision.views)}"
    room = right - left - (late.width + pad if decision.late else 0)
    _Text.fit(how, 8 * scale, room).draw(canvas, left, edge + 63 * scale, GRAY)


def _shade(canvas: Image, left: float, top: float, width: float, height: float) -> None:
    """Darkens a rectangle of the canvas."""
    y, x = round(top), round(left)
    part = canvas[y : y + max(1, round(height)), x : x + max(1, round(width))]
    part[:] = cv2.addWeighted(part, 1 - OPACITY, np.full_like(part, PANEL), OPACITY, 0)


def _draw_bar(canvas: Image, start: tuple[float, float], length: float, thick: float, share: float) -> None:
    """A round-ended bar, filled by `share` (0..1)."""
    color = SURE if share >= HALF_SURE else UNSURE
    for end, shade in ((1.0, TRACK), (min(max(share, 0.0), 1.0), color)):
        first = (round(start[0] + thick / 2), round(start[1]))
        last = (round(start[0] + thick / 2 + (length - thick) * end), round(start[1]))
        cv2.line(canvas, first, last, shade, max(1, round(thick)), cv2.LINE_AA)


def _draw_region(canvas: Image, region: Region, times: int, scale: float) -> None:
    """A rectangle on the edge of the region, with a dark line around for bright scenes."""
    first = (times * region.x, times * region.y)
    last = (times * (region.x + region.width) - 1, times * (region.y + region.height) - 1)
    thin = max(1, round(1.5 * scale))
    cv2.rectangle(canvas, first, last, PANEL, 3 * thin, cv2.LINE_AA)
    cv2.rectangle(canvas, first, last, REGION, thin, cv2.LINE_AA)
