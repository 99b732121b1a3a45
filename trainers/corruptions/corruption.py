"""What a corruption is: its parameters at five severities, its random numbers, and the function that applies it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Image
from allweather.trainers.choices import CorruptionFamily

Array: TypeAlias = npt.NDArray[Any]
Rng: TypeAlias = np.random.Generator

FAMILIES: tuple[CorruptionFamily, ...] = get_args(CorruptionFamily)
SEVERITIES = (1, 2, 3, 4, 5)
SMALL_BELOW = 96  # pixels of the short side; smaller images get the parameters for CIFAR, larger ones for ImageNet
MIN_SIDE = 16  # pixels of the short side


def random_uint16(rng: Rng, *shape: int) -> npt.NDArray[np.uint16]:
    """Draws uniform integers from 0 to 65535, four from each 64-bit word of the generator.

    For a small image this is three times as fast as `rng.integers`, and gives the same numbers.
    """
    count = math.prod(shape)
    words = -(-count // 4)
    if isinstance(rng.bit_generator, np.random.MT19937):  # the only generator of numpy whose words have 32 bits
        raw = rng.integers(0, 1 << 64, words, dtype=np.uint64)
    else:
        raw = np.asarray(rng.bit_generator.random_raw(words), np.uint64)
    return raw.view(np.uint16)[:count].reshape(shape)


def draw_nothing(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """The `draw` function of a deterministic corruption."""
    return ()


@dataclass(frozen=True)
class Corruption:
    """A corruption of images at five severities.

    Attributes:
        name: Name as in the published data sets, such as "motion_blur".
        family: "noise", "blur", "weather" or "digital".
        common: Whether it is one of the 15 corruptions over which the mean corruption error is computed; the other 4
            are for validation.
        small: Parameters of severity 1 to 5 for small images, those of CIFAR-10-C.
        large: Parameters of severity 1 to 5 for large images, those of ImageNet-C.
        apply: Pure function (images uint8 [n, h, w, 3], random numbers stacked over the images, parameters of one
            severity) -> uint8 [n, h, w, 3].
        draw: Function (rng, height, width) -> all random numbers of one image; they are the same at every severity.
    """

    name: str
    family: CorruptionFamily
    common: bool
    small: tuple[Any, ...]
    large: tuple[Any, ...]
    apply: Callable[..., Image]
    draw: Callable[[Rng, int, int], tuple[Array, ...]] = draw_nothing

    def parameters(self, severity: int, height: int, width: int) -> Any:
        """Returns the parameters of a severity of 1 to 5 for images of this size."""
        return (self.small if min(height, width) < SMALL_BELOW else self.large)[severity - 1]

    def __call__(self, images: Image, severity: int, rngs: Iterable[Rng]) -> Image:
        """Corrupts images.

        Args:
            images: uint8 [n, h, w, 3], RGB, n >= 1.
            severity: 1 to 5.
            rngs: A random generator for each image; each is used before the next one is taken.

        Returns:
            uint8 [n, h, w, 3].
        """
        height, width = images.shape[1:3]
        draws = [self.draw(rng, height, width) for rng, _ in zip(rngs, images, strict=False)]
        stacked = [np.stack(parts) for parts in zip(*draws, strict=True)]
        return self.apply(images, *stacked, self.parameters(severity, height, width))
