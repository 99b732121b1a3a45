"""What a training run is told: one frozen dataclass, saved in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.schedules import Schedule


@dataclass(frozen=True)
class FitSettings:
    """Settings of the training loop.

    Attributes:
        epochs: passes over the training split.
        batch: pictures a step over all processes; 128 as in the ResNet paper.
        lr: highest learning rate of SGD; the architecture's where None.
        schedule: one-cycle reaches a given accuracy in the fewest epochs; cosine suits long runs.
        momentum: of SGD with Nesterov's step.
        weight_decay: on weights of two or more dimensions; biases and BatchNorm are left free.
        label_smoothing: share of the target spread over all classes. None by default: it blurs the
            probabilities that votes and predicted losses build on, and ResNet-20 does not overfit.
        ema: decay of the averaged weights a step; they are what is kept. 0.998 looks back about one epoch
            of 350 steps, and is shortened at the start of a run.
        shift: largest random move of a picture in pixels at 32 px; scales with the size.
        mirrors: mirror half of the pictures; the data set's own answer where None.
        seed: of the weights and of all draws.
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
        """Refuses values that cannot train.

        Raises:
            UsageError: naming the setting, the range and the value.
        """
        wanted = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 2, "at least 2"),
            "lr": (self.lr is None or 0 < self.lr <= 10, "above 0, at most 10"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 to below 1"),
            "ema": (0 <= self.ema < 1, "from 0 (off) to below 1"),
            "seed": (0 <= self.seed < 2**31, "from 0 to 2^31 - 1"),
        }
        for name, (fits, text) in wanted.items():
            if not fits:
                raise UsageError(f"{name.replace('_', ' ')} must be {text}; got {getattr(self, name)}")
