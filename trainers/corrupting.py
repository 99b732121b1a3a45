"""Corrupted copies to learn from and to tune on: each picture by a corruption and severity of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Image
from allweather.trainers.corrupt.catalogue import COMMON, CORRUPTIONS, corrupt
from allweather.trainers.corrupt.corruption import SEVERITIES

FAMILIES = ("noise", "blur", "weather", "digital")


@dataclass(frozen=True)
class Corrupting:
    """How copies are corrupted.

    Attributes:
        copies: corrupted copies of each picture.
        clean: share of the copies that stay clean: most frames are, and they must be left alone.
        without: corruption family of which nothing is shown; None for all 15 common corruptions. The extra four are
            always held out.
        seed: of all draws.
    """

    copies: int = 2
    clean: float = 0.1
    without: str | None = None
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
        if self.without is not None and self.without not in FAMILIES:
            raise UsageError(f"a corruption family is one of {', '.join(FAMILIES)}; got {self.without!r}")

    def kinds(self) -> tuple[str, ...]:
        """Names of the corruptions that are shown."""
        return tuple(name for name in COMMON if CORRUPTIONS[name].family != self.without)


def corrupted(images: Image, corrupting: Corrupting, rng: np.random.Generator) -> Image:
    """Corrupts pictures, in place.

    Args:
        images: uint8 [n, h, w, 3]; they are changed.
        corrupting: see there.
        rng: of all draws.

    Returns:
        `images`.
    """
    kinds = corrupting.kinds()
    chosen = np.where(rng.random(len(images)) < corrupting.clean, -1, rng.integers(len(kinds), size=len(images)))
    severities = rng.choice(SEVERITIES, size=len(images))
    for number, name in enumerate(kinds):
        for severity in SEVERITIES:
            mine = (chosen == number) & (severities == severity)
            if mine.any():
                images[mine] = corrupt(images[mine], name, severity, rng)
    return images
