"""Schedules: how many epochs on how many images fit into the time, by the measured cost of a few steps.

A schedule is chosen once and kept beside the results, so that a run that was stopped goes on with the same one, and so
that runs which are compared have the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError, first_line
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import Split
from allweather.trainers.training.fit import fit
from allweather.trainers.training.objective import Objective
from allweather.trainers.training.settings import FitSettings
from gpu.budget import Budget
from gpu.compiled import COMPILE_SECONDS, compile_in_place, compiles_on
from gpu.records import Work, read_json, write_json
from gpu.timing import StepClock

SAFETY = 0.85  # share of the time that is planned for; steps take longer on some days
MIN_IMAGES = 16
BATCHES = 8  # in an epoch of few images, at least


@dataclass(frozen=True)
class Probe:
    """How a cost is measured: images a step, steps an epoch, and validation images."""

    batch_size: int
    steps: int
    val_images: int


PROBES = {"cuda": Probe(128, 20, 250), "cpu": Probe(8, 2, 8)}


@dataclass(frozen=True)
class Training:
    """What is trained, as far as its cost is concerned.

    Attributes:
        network: Builds the network.
        objective: Its loss.
        settings: Settings of the full run.
        lr: Highest learning rate.
        compiles: Whether torch may compile the network; not where an objective looks into it.
    """

    network: Callable[[], nn.Module]
    objective: Objective
    settings: FitSettings
    lr: float
    compiles: bool = True


@dataclass(frozen=True)
class Cost:
    """Seconds of a training.

    Attributes:
        image: Of a training image in an epoch.
        val_image: Of a validation image after an epoch.
        epoch: Of what is saved after an epoch.
    """

    image: float
    val_image: float
    epoch: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """The schedule of a run.

    Attributes:
        epochs: Passes over the training images.
        full_epochs: Those of the full run.
        train_images: Number of training images.
        full_train_images: Those of the full run.
        val_images: Number of validation images.
        batch_size: Images a step.
        compiled: Whether torch compiles the network.
        cost: Measured seconds of an image.
    """

    epochs: int
    full_epochs: int
    train_images: int
    full_train_images: int
    val_images: int
    batch_size: int
    compiled: bool
    cost: Cost

    @property
    def images(self) -> int:
        """Training images that go through the network in all epochs together."""
        return self.epochs * self.train_images

    @property
    def seconds(self) -> float:
        """Seconds that the run takes by the measured cost."""
        each = self.cost.image * self.train_images + self.cost.val_image * self.val_images + self.cost.epoch
        return self.epochs * each

    def record(self) -> dict[str, Any]:
        """Returns it as plain values, with "cut": whether it is less than the full schedule."""
        cut = self.epochs < self.full_epochs or self.train_images < self.full_train_images
        return {**asdict(self), "cut": cut}

    def fit_settings(self, settings: FitSettings) -> FitSettings:
        """Returns the settings of the full run with these epochs and this batch size."""
        return replace(settings, epochs=self.epochs, batch_size=self.batch_size)

    def data(self, dataset: Dataset, seed: int) -> Dataset:
        """Returns the data with as many training and validation images as the schedule has."""
        val = dataset.val
        if self.val_images < len(val):
            val = val.take(spread(len(val), self.val_images))
        if self.train_images < len(dataset.train):
            dataset = dataset.subset(self.train_images / len(dataset.train), seed)
        return replace(dataset, val=val)


def schedule_for(work: Work, name: str, training: Training, dataset: Dataset, budget: Budget) -> Schedule:
    """Returns the schedule of an earlier call of this name, or chooses one that fits into the budget.

    Raises:
        OutOfTimeError: The time of the whole part does not suffice to measure the cost.
        UsageError: The file of the schedule holds something else.
    """
    path = work.folder / f"{name}.plan.json"
    kept = read_json(path)
    if kept is None:
        kept = choose(work, training, dataset, budget).record()
        write_json(path, kept)
    values = {key: value for key, value in kept.items() if key != "cut"}
    try:
        return Schedule(**{**values, "cost": Cost(**values["cost"])})
    except (TypeError, KeyError):
        raise UsageError(f"{path} is no schedule of a run; delete it, and a new one is chosen") from None


def choose(work: Work, training: Training, dataset: Dataset, budget: Budget) -> Schedule:
    """Measures the cost, with the network compiled too where that may pay, and chooses the schedule that gets further.

    What compiling takes counts as well, because the run itself compiles again.
    """
    started = time.monotonic()
    cost = measure(work, training, dataset, compiled=False)
    plain_seconds = time.monotonic() - started
    plain = fitting(training.settings, dataset, cost, SAFETY * budget.left(), compiled=False)
    if not (compiles_on(work.fabric.device) and training.compiles and budget.left() > 2.5 * COMPILE_SECONDS):
        return plain
    started = time.monotonic()
    faster = None
    try:
        faster = measure(work, training, dataset, compiled=True)
    except RuntimeError as error:  # of torch's compiler, which needs more of a machine than torch does
        print(f"not compiled: {first_line(error)}", flush=True)
    plain = fitting(
        training.settings, dataset, cost, SAFETY * budget.left(), compiled=False
    )  # in less time than before
    if faster is None:
        return plain
    compiling = max(0.0, time.monotonic() - started - plain_seconds)
    left = SAFETY * max(1.0, budget.left() - compiling)
    compiled = fitting(training.settings, dataset, faster, left, compiled=True)
    if compiled.images == plain.images:
        return compiled if compiled.seconds + compiling < plain.seconds else plain
    return compiled if compiled.images > plain.images else plain


def fitting(settings: FitSettings, dataset: Dataset, cost: Cost, seconds: float, *, compiled: bool) -> Schedule:
    """Returns the longest schedule that takes `seconds`: fewer epochs, and if one is too long, fewer images."""
    full, val = len(dataset.train), len(dataset.val)
    epoch = cost.image * full + cost.val_image * val + cost.epoch
    epochs, share = max(1, min(settings.epochs, int(seconds / epoch))), min(1.0, seconds / epoch)
    images = max(min(full, max(MIN_IMAGES, len(dataset.classes))), int(share * full))
    return Schedule(
        epochs=epochs,
        full_epochs=settings.epochs,
        train_images=images,
        full_train_images=full,
        val_images=max(min(val, MIN_IMAGES // 2), int(share * val)),
        batch_size=min(settings.batch_size, max(2, images // BATCHES)),
        compiled=compiled,
        cost=cost,
    )


def measure(work: Work, training: Training, dataset: Dataset, *, compiled: bool) -> Cost:
    """Trains two epochs of a few steps and times the second one."""
    probe = PROBES[work.fabric.device.type]
    batch = min(probe.batch_size, training.settings.batch_size, len(dataset.train))
    images = batch * probe.steps
    train = dataset.train.take(torch.arange(images) % len(dataset.train))
    val: Split = dataset.val.take(torch.arange(min(len(dataset.val), probe.val_images)))
    settings = replace(training.settings, epochs=2, batch_size=batch)
    network = training.network()
    clock = StepClock(work.fabric, (2 * probe.steps,), work.budget.check)
    fit(
        compile_in_place(network) if compiled else network,
        replace(dataset, train=train, val=val),
        settings,
        training.lr / 100,  # a few steps at the full rate could diverge, and would tell nothing more
        fabric=work.fabric,
        objective=training.objective,
        watch=clock,
    )
    first, second = clock.epochs
    steps_done = clock.at[2 * probe.steps]
    return Cost((steps_done - first) / images, (second - steps_done) / len(val), seconds_of_saving(work, network))


def seconds_of_saving(work: Work, network: nn.Module) -> float:
    """Returns the seconds in which the weights, their average and their momentum are written to the disk."""
    tensors = {f"{copy}.{key}": value for copy in range(3) for key, value in network.state_dict().items()}
    path = work.folder / ".probe.safetensors"
    started = time.monotonic()
    tensor_file.write(path, tensors, {})
    path.unlink()
    return time.monotonic() - started


def spread(available: int, count: int) -> Tensor:
    """Returns up to `count` indices at equal distances, int64."""
    return torch.linspace(0, available - 1, min(count, available)).long()
