"""Images of a drive: an animation, and one frame of each condition."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from allweather.runtimes.types import Image

MIN_EXAMPLE_WIDTH = 30  # pixels; on a smaller sign a reader would not see much either
EXAMPLE_WIDTH = 640  # pixels, of each frame in the grid
WHITE = 255


@dataclass(frozen=True)
class Example:
    """A frame with a sign to read, as the video shows it.

    Attributes:
        width: Width of the sign in pixels.
        correct: Whether each system read it correctly, in the order of the systems.
        image: The split screen, uint8 [H, W, 3], RGB.
    """

    width: int
    correct: tuple[bool, ...]
    image: Image

    def better_of(self, other: Example | None) -> Example:
        """Returns the example that shows more: the first system wrong and the last one right, on a large sign."""
        if other is None:
            return self
        return max(other, self, key=Example._rank)

    def _rank(self) -> tuple[bool, bool, int]:
        return (not self.correct[0] and self.correct[-1], self.width >= MIN_EXAMPLE_WIDTH, -abs(self.width - 50))


def animation(images: Sequence[Image], seconds: float, width: int = 420, quality: int = 28) -> bytes:
    """Returns an animated WebP, which every browser plays.

    Args:
        images: uint8 [H, W, 3], RGB; at least one.
        seconds: Time for which each image is shown.
        width: Width in pixels to which the images are made smaller.
        quality: 0 (small) to 100 (faithful).
    """
    height = round(width * len(images[0]) / images[0].shape[1])
    small = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images]
    content = io.BytesIO()
    first, *rest = [PillowImage.fromarray(image) for image in small]
    first.save(
        content, "WEBP", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, quality=quality,
        method=1,
    )  # fmt: skip
    return content.getvalue()


def example_grid(examples: Sequence[Example]) -> bytes:
    """Returns a JPEG of frames, two in a row; a white image if there is none."""
    images = [example.image for example in examples] or [np.full((360, EXAMPLE_WIDTH, 3), WHITE, np.uint8)]
    images += [np.full_like(images[0], WHITE)] * (-len(images) % 2)
    rows = [np.hstack(images[i : i + 2]) for i in range(0, len(images), 2)]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return bytes(encoded[1])
