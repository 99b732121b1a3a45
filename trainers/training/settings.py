"""Settings of the training loop: one frozen dataclass, saved in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from allweather.runtimes.setting_types import check_types
from allweather.runtimes.errors import UsageError, check_choice
from allweather.trainers.training.schedules import Schedule

MIN_BATCH_SIZE = 2  # BatchNorm needs two images


@dataclass(frozen=True)
class FitSettings:
    """Settings of the training loop.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images per step over all processes; 128 as in the ResNet paper.
        lr: Highest learning rate of SGD; None means the architecture's default.
        schedule: "onecycle" reaches a given accuracy in the fewest epochs; "cosine" suits long runs.
        momentum: Momentum of SGD, in Nesterov's form.
        weight_decay: Weight decay of parameters with two or more dimensions; biases and BatchNorm have none.
        label_smoothing: Fraction of the target that is spread over all classes. 0 by default, because ResNet-20 does
            not overfit, and because smoothing blurs the probabilities. Averaging over views and predicted losses depend
            on them.
        ema: Decay per step of the exponential moving average of the weights; the averaged weights are evaluated and
            saved. 0.998 averages over about one epoch of 350 steps; the decay is lower at the start of a run.
        shift: Largest random shift of an image in pixels at 32 px; it scales with the image size.
        hflip: Whether half of the images are flipped horizontally; None means the data set's own setting.
        seed: Random seed of the initial weights and of the training; the same seed gives the same result.
    """

    epochs: int = 36
    batch_size: int = 128
    lr: float | None = None
    schedule: Schedule = "onecycle"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    ema: float = 0.998
    shift: int = 4
    hflip: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A value is out of range; the message names the setting, the range and the value.
        """
        check_types(self)
        check_choice("schedule", self.schedule, Schedule)
        requirements = {
            "epochs": (_is_whole(self.epochs) and self.epochs >= 1, "a whole number, at least 1"),
            "batch_size": (
                _is_whole(self.batch_size) and self.batch_size >= MIN_BATCH_SIZE,
                f"a whole number, at least {MIN_BATCH_SIZE}",
            ),
            "lr": (self.lr is None or 0 < self.lr <= 10, "above 0, at most 10"),
            "momentum": (0 < self.momentum < 1, "above 0 and below 1"),
            "weight_decay": (0 <= self.weight_decay < 1, "from 0 to below 1"),
            "shift": (_is_whole(self.shift) and 0 <= self.shift < 32, "a whole number of pixels from 0 to 31"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 to below 1"),
            "ema": (0 <= self.ema < 1, "from 0 (off) to below 1"),
            "seed": (_is_whole(self.seed) and 0 <= self.seed < 2**31, "from 0 to 2^31 - 1"),
        }
        for name, (valid, requirement) in requirements.items():
            if not valid:
                raise UsageError(f"{name.replace('_', ' ')} must be {requirement}; got {getattr(self, name)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
