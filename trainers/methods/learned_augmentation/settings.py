"""Settings of learning an augmentation, and the names of its stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_types
from allweather.trainers.augmentations.learned.networks import STAGE_HEADS
from allweather.trainers.choices import AugmentationAim, AugmentationMode
from allweather.trainers.training.settings import FitSettings

Stage = Literal["classifier", "gan", "influence"]  # in this order


@dataclass(frozen=True)
class LearnAugmentationSettings:
    """Settings of learning an augmentation.

    Attributes:
        mode: Architecture of the augmentation network; see `AugmentationNetwork`.
        aim: The held-out images whose loss is to decrease. "clean": unchanged images; "combined": images under
            Combined+ and Combined- in turn; "corrupted": images under the four extra corruptions, so that the 15 common
            ones remain for testing.
        damping: Damping of the last layer's training loss; see `influence`.
        gan_epochs: Epochs of adversarial pre-training; 0 skips it.
        epochs: Epochs of learning from influence.
        classifier: Settings of the classifier's training. The later stages use its batch size, seed and shifts.
    """

    mode: AugmentationMode = "parallel"
    aim: AugmentationAim = "clean"
    damping: float = 1e-3
    gan_epochs: int = 5
    epochs: int = 10
    classifier: FitSettings = dataclasses.field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A value is out of range; the message names the setting, the range and the value.
        """
        check_types(self)
        if self.mode not in STAGE_HEADS:
            raise UsageError(f"mode must be one of {', '.join(STAGE_HEADS)}; got {self.mode!r}")
        if self.aim not in get_args(AugmentationAim):
            raise UsageError(f"aim must be one of {', '.join(get_args(AugmentationAim))}; got {self.aim!r}")
        if not 0 < self.damping < float("inf"):
            raise UsageError(f"damping must be a finite number above 0; got {self.damping:g}")
        if self.epochs < 1:
            raise UsageError(f"epochs must be a whole number, at least 1; got {self.epochs}")
        if self.gan_epochs < 0:
            raise UsageError(f"GAN epochs must be a whole number, at least 0; got {self.gan_epochs}")
