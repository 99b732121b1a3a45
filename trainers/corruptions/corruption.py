"""What a corruption is: parameters for five severities, what it draws for a picture, and how it is applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.trainers.choices import CorruptionFamily as CorruptionFamily

Images: TypeAlias = npt.NDArray[np.uint8]  # [n, h, w, 3], RGB
Floats: TypeAlias = npt.NDArray[np.float32]
Draw: TypeAlias = npt.NDArray[Any]
Rng: TypeAlias = np.random.Generator

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_BELOW = 96  # pixels of the short side: under it the parameters made for CIFAR, else those made for ImageNet
SMALLEST = 16  # pixels of the short side


def words(rng: Rng, *shape: int) -> npt.NDArray[np.uint16]:
    """Whole numbers of 0..65535, all as likely: the generator's own 64-bit words, cut in four.

    Three times as fast as `rng.integers` for a small picture, and the same numbers.
    """
    count = math.prod(shape)
    many = -(-count // 4)
    if isinstance(rng.bit_generator, np.random.MT19937):  # the only one of numpy's whose words have 32 bits
        whole = rng.integers(0, 1 << 64, many, dtype=np.uint64)
    else:
        whole = np.asarray(rng.bit_generator.random_raw(many), np.uint64)
    return whole.view(np.uint16)[:count].reshape(shape)


def nothing(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """What a corruption without chance draws."""
    return ()


@dataclass(frozen=True)
class Corruption:
    """One way in which pictures go bad, at five severities.

    Attributes:
        name: as the published sets name it.
        family: noise, blur, weather or digital.
        common: one of the 15 that a mean corruption error is made of; the other 4 are for validation.
        small: the CIFAR-C parameters of severity 1 to 5.
        large: the ImageNet-C parameters of severity 1 to 5.
        apply: (uint8 [n, h, w, 3], draws stacked over the pictures, parameters of one severity) -> uint8
            [n, h, w, 3]. Pure.
        draw: (rng, height, width) -> all that is left to chance in one picture, the same at every severity.
    """

    name: str
    family: CorruptionFamily
    common: bool
    small: tuple[Any, ...]
    large: tuple[Any, ...]
    apply: Callable[..., Images]
    draw: Callable[[Rng, int, int], tuple[Draw, ...]] = nothing

    def parameters(self, severity: int, height: int, width: int) -> Any:
        """Those for pictures of that size at a severity of 1 to 5."""
        return (self.small if min(height, width) < SMALL_BELOW else self.large)[severity - 1]

    def __call__(self, images: Images, severity: int, rngs: Iterable[Rng]) -> Images:
        """Corrupts pictures.

        Args:
            images: uint8 [n, h, w, 3], RGB, n >= 1.
            severity: 1 to 5.
            rngs: one for each picture, drawn from as it comes.
        """
        height, width = images.shape[1:3]
        draws = [self.draw(rng, height, width) for rng, _ in zip(rngs, images, strict=False)]
        stacked = [np.stack(parts) for parts in zip(*draws, strict=True)]
        return self.apply(images, *stacked, self.parameters(severity, height, width))
