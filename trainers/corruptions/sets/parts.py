"""Corrupts many images a few at a time, so that only a little of their floating-point pixels is in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS
from allweather.trainers.corruptions.sets.random_streams import image_rngs

PART_PIXELS = 1 << 19  # of the images that are corrupted at once: as fast as more of them, and the memory is small


def corrupted_parts(images: Image, name: str, severity: int, seed: int, first: int) -> Iterator[Image]:
    """Corrupts consecutive images of a set. The result does not depend on how they are divided.

    Args:
        images: uint8 [n, h, w, 3], RGB, clean.
        name: Name of the corruption.
        severity: 1 to 5.
        seed: Random seed of the set.
        first: Index of the first image in the set.

    Yields:
        uint8 [<= n, h, w, 3], a few corrupted images after the others.
    """
    count = max(1, PART_PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), count):
        part = np.asarray(images[start : start + count])
        yield CORRUPTIONS[name](part, severity, image_rngs(seed, name, severity, first + start, len(part)))
