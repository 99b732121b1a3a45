"""A stream of chance for each picture of a set, so that any part of it can be made anywhere, in any order."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from allweather.trainers.corruptions.corruption import Rng

SPACING = 1 << 64  # draws from one picture's stream to the next one's: more than a picture can use


def streams(seed: int, name: str, severity: int, first: int, count: int) -> Iterator[Rng]:
    """The random numbers of pictures `first` to `first + count - 1`, each to be used before the next is asked for.

    Args:
        seed: of the whole set, 0 or more.
        name: of the corruption.
        severity: 1 to 5.
        first: number of the first picture in the whole set.
        count: of pictures.
    """
    bits = np.random.PCG64DXSM(np.random.SeedSequence([seed, zlib.crc32(name.encode()), severity]))
    start = bits.state
    rng = np.random.Generator(bits)
    for number in range(first, first + count):
        bits.state = start
        bits.advance(number * SPACING)
        yield rng
