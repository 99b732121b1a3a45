"""Images of a drive: an animation, and one frame of each condition with the prediction below it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from allweather.runtimes.types import Image

CAPTION_HEIGHT = 40  # pixels, below each frame
BLACK, RED = (30, 30, 30), (190, 30, 30)


@dataclass(frozen=True)
class Example:
    """A frame with a sign to read, and the prediction for it.

    Attributes:
        width: Width of the sign in pixels.
        truth: Name of the true class.
        prediction: Name of the predicted class.
        image: The annotated frame, uint8 [H, W, 3], RGB.
    """

    width: int
    truth: str
    prediction: str
    image: Image

    @property
    def correct(self) -> bool:
        """Whether the prediction is correct."""
        return self.truth == self.prediction

    def better_of(self, other: Example | None) -> Example:
        """Returns the example that shows more: an incorrect prediction, or else the larger sign."""
        if other is None:
            return self
        return max(other, self, key=lambda example: (not example.correct, example.width))


def animation(images: Sequence[Image], seconds: float) -> bytes:
    """Returns an animated WebP, which every browser plays.

    Args:
        images: uint8 [H, W, 3], RGB; at least one.
        seconds: Time for which each image is shown.
    """
    content = io.BytesIO()
    first, *rest = [PillowImage.fromarray(image) for image in images]
    first.save(
        content, "WEBP", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, quality=60, method=1
    )
    return content.getvalue()


def example_grid(examples: Mapping[str, Example]) -> bytes:
    """Returns a PNG of frames two by two, each with its condition, its true class and the prediction below.

    Args:
        examples: An example for each condition, by its name; a white image if empty.
    """
    captioned = [_with_caption(condition, example) for condition, example in examples.items()]
    captioned = captioned or [np.full((360, 640, 3), 255, np.uint8)]
    filled = captioned + [np.full_like(captioned[0], 255)] * (-len(captioned) % 2)
    rows = [np.hstack(filled[i : i + 2]) for i in range(0, len(filled), 2)]
    return bytes(cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1])


def _with_caption(condition: str, example: Example) -> Image:
    result = "predicted correctly" if example.correct else f"predicted as {example.prediction}"
    text, color = f"{condition}: {example.truth}, {result}", BLACK if example.correct else RED
    caption = np.full((CAPTION_HEIGHT, example.image.shape[1], 3), 255, np.uint8)
    cv2.putText(caption, text, (8, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.65, color, 1, cv2.LINE_AA)
    return np.vstack([example.image, caption])
