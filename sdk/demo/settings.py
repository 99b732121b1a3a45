"""Settings of the demo: one frozen dataclass, kept beside the models so that a demo that was stopped goes on."""

from __future__ import annotations

from dataclasses import dataclass

from allweather.runtimes.errors import UsageError


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo. The defaults were chosen on the validation split, to take less than five minutes.

    Attributes:
        frames: Number of frames of the drive.
        seed: Random seed of the training and of the drive; the same seed gives the same demo.
        size: Side in pixels of the images that the classifier takes.
        num_train: Number of training images; None for all.
        plain_epochs: Passes over the training images of the plain classifier.
        robust_epochs: Passes of the robust finetuning.
        predictor_images: Number of validation images whose corrupted copies train the loss predictor.
        predictor_epochs: Passes over those copies.
        tuning_images: Number of further validation images on which the policy is tuned; with 400 the gain of the best
            policy, 1 point, was just beyond chance.
    """

    frames: int = 1680
    seed: int = 0
    size: int = 24
    num_train: int | None = None
    plain_epochs: int = 3
    robust_epochs: int = 3
    predictor_images: int = 800
    predictor_epochs: int = 12
    tuning_images: int = 800

    def __post_init__(self) -> None:
        """Checks what the command line takes.

        Raises:
            UsageError: There is no frame, or the seed is negative.
        """
        if self.frames < 1:
            raise UsageError(f"frames must be at least 1; got {self.frames}")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative; got {self.seed}")
