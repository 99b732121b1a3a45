"""What a drive looked like: an animation, and a frame of each weather with what was read in it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from allweather.runtimes.types import Image

BAND = 40  # pixels below a frame, for its caption
BLACK, RED = (30, 30, 30), (190, 30, 30)


@dataclass(frozen=True)
class Example:
    """A frame in which a sign was to be read.

    Attributes:
        width: of the sign in pixels.
        truth: which it is.
        answer: what was read.
        picture: uint8 [H, W, 3], RGB, annotated.
    """

    width: int
    truth: str
    answer: str
    picture: Image

    def better_of(self, other: Example | None) -> Example:
        """The one that shows more: a mistake, or else the larger sign."""
        if other is None:
            return self
        return max(other, self, key=lambda example: (example.truth != example.answer, example.width))


def animation(images: Sequence[Image], seconds: float) -> bytes:
    """An animated WebP, which every browser plays; so many seconds a picture."""
    content = io.BytesIO()
    first, *rest = [PillowImage.fromarray(image) for image in images]
    first.save(
        content, "WEBP", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, quality=60, method=1
    )
    return content.getvalue()


def sheet(examples: Mapping[str, Example]) -> bytes:
    """A PNG of frames two by two, each with its weather, the truth and the answer below."""
    shown = [_captioned(weather, example) for weather, example in examples.items()]
    shown = shown or [np.full((360, 640, 3), 255, np.uint8)]
    filled = shown + [np.full_like(shown[0], 255)] * (-len(shown) % 2)
    rows = [np.hstack(filled[i : i + 2]) for i in range(0, len(filled), 2)]
    return bytes(cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1])


def _captioned(weather: str, example: Example) -> Image:
    right = example.truth == example.answer
    text = f"{weather}: {example.truth}" + (", read as it is" if right else f", misread as {example.answer}")
    band = np.full((BAND, example.picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text, (8, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.65, BLACK if right else RED, 1, cv2.LINE_AA)
    return np.vstack([example.picture, band])
