"""Corrupted copies to learn from and to tune on: each picture by a corruption and severity of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, corrupt
from allweather.trainers.corruptions.corruption import SEVERITIES

FAMILIES = ("noise", "blur", "weather", "digital")


@dataclass(frozen=True)
class CopySettings:
    """How copies are corrupted: by one of the 15 common corruptions; the extra four are always held out.

    Attributes:
        copies: corrupted copies of each picture.
        clean: share of the copies that stay clean: most frames are, and they must be left alone.
        seed: of all draws.
    """

    copies: int = 2
    clean: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be.

        Raises:
            UsageError: naming the setting.
        """
        if not 1 <= self.copies <= 100:
            raise UsageError(f"copies of a picture are 1 to 100; got {self.copies}")
        if not 0 <= self.clean <= 1:
            raise UsageError(f"the clean share is from 0 to 1; got {self.clean:g}")


def corrupted_copies(
    images: Image, copy_settings: CopySettings, rng: np.random.Generator
) -> tuple[Image, npt.NDArray[np.int64]]:
    """Corrupts pictures, in place.

    Args:
        images: uint8 [n, h, w, 3]; they are changed.
        corrupting: see there.
        rng: of all draws.

    Returns:
        (`images`, the place in `COMMON` of what was done to each, int64 [n], -1 for nothing).
    """
    chosen = np.where(rng.random(len(images)) < copy_settings.clean, -1, rng.integers(len(COMMON), size=len(images)))
    severities = rng.choice(SEVERITIES, size=len(images))
    for number, name in enumerate(COMMON):
        for severity in SEVERITIES:
            mine = (chosen == number) & (severities == severity)
            if mine.any():
                images[mine] = corrupt(images[mine], name, severity, rng)
    return images, chosen
