"""Corrupted copies of images to train and tune on: each copy has a random corruption and severity of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_types
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES

MAX_COPIES = 100
DARKEST = 0.1  # smallest factor of the values of a darkened copy


@dataclass(frozen=True)
class CopySettings:
    """How copies are corrupted: by one of the 15 common corruptions; the other four are always held out.

    Some are darkened first, as dusk does, because none of the common corruptions is dark.

    Attributes:
        copies: Number of corrupted copies of each image, 1 to 100.
        clean: Share of the copies that stay clean, 0..1. Some should, because most frames of a camera are clean, and
            their predictions must stay correct.
        dark: Share of the others that are darkened before they are corrupted, 0..1: all values are multiplied by the
            same factor between 1 and 0.1, whose logarithm is uniform.
        seed: Random seed; the same seed gives the same copies.
    """

    copies: int = 2
    clean: float = 0.1
    dark: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            UsageError: A setting is out of range; the message names it.
        """
        check_types(self)
        if not 1 <= self.copies <= MAX_COPIES:
            raise UsageError(f"the number of copies of an image is 1 to {MAX_COPIES}; got {self.copies}")
        if not 0 <= self.clean <= 1:
            raise UsageError(f"the share of clean copies is 0 to 1; got {self.clean:g}")
        if not 0 <= self.dark <= 1:
            raise UsageError(f"the share of darkened copies is 0 to 1; got {self.dark:g}")
        if self.seed < 0:
            raise UsageError(f"the seed of the copies is at least 0; got {self.seed}")


def corrupted_copies(
    images: Image, copy_settings: CopySettings, rng: np.random.Generator
) -> tuple[Image, npt.NDArray[np.int64]]:
    """Corrupts each image by a corruption and severity of its own.

    Args:
        images: uint8 [n, h, w, 3], the copies before corruption; they are not changed.
        copy_settings: Share of the copies that stay clean.
        rng: Source of all random numbers.

    Returns:
        (the corrupted copies, and for each of them the index of its corruption in `COMMON`, int64 [n], -1 for a clean
        one).
    """
    chosen = np.where(rng.random(len(images)) < copy_settings.clean, -1, rng.integers(len(COMMON), size=len(images)))
    severities = rng.choice(SEVERITIES, size=len(images))
    corrupted: Image = images.copy()
    dark = np.flatnonzero((chosen >= 0) & (rng.random(len(images)) < copy_settings.dark))
    light = (DARKEST ** rng.random(len(dark))).astype(np.float32)
    corrupted[dark] = np.rint(images[dark] * light[:, None, None, None]).astype(np.uint8)
    for index, name in enumerate(COMMON):
        for severity in SEVERITIES:
            selected = (chosen == index) & (severities == severity)
            if selected.any():
                corrupted[selected] = corrupt_images(corrupted[selected], name, severity, rng)
    return corrupted, chosen
