"""Times of training steps, measured when the device has finished them and not when they were handed to it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric

from allweather.trainers.training.progress import Progress


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has done all that it was given; on a CPU nothing is ever left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class StepClock:
    """A `watch` of `fit` that notes when certain steps and each epoch were done.

    Args:
        fabric: The launched Fabric of the run.
        steps: Numbers of steps, counted from 1 over the whole run, to note the time of. At these, and only at these,
            the device is waited for, so that the others run as they do without this clock.
        check: Called after each step; raises to stop the run.

    Attributes:
        at: Time at which each noted step was done.
        epochs: Time at which each epoch was done, its validation included.
    """

    def __init__(self, fabric: Fabric, steps: tuple[int, ...], check: Callable[[], None]) -> None:
        self._device, self._steps, self._check = fabric.device, frozenset(steps), check
        self.at: dict[int, float] = {}
        self.epochs: list[float] = []

    def __call__(self, progress: Progress) -> None:
        """Takes the progress after a step or an epoch."""
        if progress.report:
            wait_for(self._device)
            self.epochs.append(time.monotonic())
        elif progress.step in self._steps:
            wait_for(self._device)
            self.at[progress.step] = time.monotonic()
        self._check()
