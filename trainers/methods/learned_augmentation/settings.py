"""Settings of learning an augmentation, and the names of its stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.setting_types import check_types
from allweather.trainers.augmentations.learned.networks import COLOR_LIMIT, GRIDS, STAGE_HEADS
from allweather.trainers.choices import AugmentationAim, AugmentationMode, HeldOut
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
        held_out: Where these images are from. "share": a fifth of the training images, which the classifier is then not
            trained on; the validation images stay unseen. "val": the validation images; the classifier is trained on
            all training images, and what is chosen on validation images afterwards has seen them.
        classifiers: Number of classifiers whose influences are averaged; their seeds follow one another.
        grid: Side of the grid on which an image has parameters of its own, 1, 4 or 8; 8 is the paper's.
        color_limit: Largest absolute weight and bias of the color change, above 0, at most 1; the paper has no limit.
        damping: Damping of the last layer's training loss; see `influence`.
        gan_epochs: Epochs of adversarial pre-training; 0 skips it.
        epochs: Epochs of learning from influence; with 0, the result is the network as it starts that stage: the one
            that is pre-trained, or without that an untrained one, which augments by chance.
        classifier: Settings of the classifier's training. The later stages use its batch size, seed and shifts.
    """

    mode: AugmentationMode = "parallel"
    aim: AugmentationAim = "clean"
    held_out: HeldOut = "share"
    classifiers: int = 1
    grid: int = 1
    color_limit: float = COLOR_LIMIT
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
        check_choice("held-out setting", self.held_out, HeldOut)
        if self.classifiers < 1:
            raise UsageError(f"classifiers must be a whole number, at least 1; got {self.classifiers}")
        if self.grid not in GRIDS:
            raise UsageError(f"grid must be one of {', '.join(map(str, GRIDS))}; got {self.grid}")
        if not 0 < self.color_limit <= 1:
            raise UsageError(f"color limit must be above 0 and at most 1; got {self.color_limit:g}")
        if not 0 < self.damping < float("inf"):
            raise UsageError(f"damping must be a finite number above 0; got {self.damping:g}")
        if self.epochs < 0:
            raise UsageError(f"epochs must be a whole number, at least 0; got {self.epochs}")
        if self.gan_epochs < 0:
            raise UsageError(f"GAN epochs must be a whole number, at least 0; got {self.gan_epochs}")
