"""A stream of random numbers for each image of a set, so that any part of a set can be made anywhere, in any order."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from allweather.trainers.corruptions.corruption import Rng

SPACING = 1 << 64  # random numbers between the starts of the streams of two images: more than an image can use


def image_rngs(seed: int, name: str, severity: int, first: int, count: int) -> Iterator[Rng]:
    """Yields the random generators of `count` images from index `first` on; use each before you take the next.

    Args:
        seed: Random seed of the whole set, 0 or more.
        name: Name of the corruption.
        severity: 1 to 5.
        first: Index of the first image in the whole set.
        count: Number of images.
    """
    bits = np.random.PCG64DXSM(np.random.SeedSequence([seed, zlib.crc32(name.encode()), severity]))
    start = bits.state
    rng = np.random.Generator(bits)
    for index in range(first, first + count):
        bits.state = start
        bits.advance(index * SPACING)
        yield rng
