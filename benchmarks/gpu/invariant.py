"""Augmentation-invariant training (Chen et al.) beside plain training at equal steps, by the recipe of the paper.

ResNet-32 on a tenth of the training images, 160 epochs, SGD with 0.1, a tenth of it after 80 and 120 epochs, weight
decay 1e-4, no averaged weights. As in the authors' program, a step of AIT takes 64 images twice; a step of plain
training takes 128 images, and there are as many steps. What differs from the paper: the momentum is Nesterov's,
biases and norms have no weight decay, and a crop is reflected at the border and not padded with black.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import mean
from typing import Any

from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.recipes import recipe
from allweather.trainers.training.settings import FitSettings
from gpu.records import Work
from gpu.schedule import Schedule, Training, schedule_for
from gpu.training import clean_accuracy, train_new, training_of

ARCH = "resnet32"
FRACTION = 0.1  # of the training images of each class
SEEDS = 3
IMAGES, VARIANTS = 64, 2  # of a step of AIT
CONFIGS = {"ait": TrainConfig("ait"), "plain": PLAIN}
RECIPE = replace(recipe("ait-paper"), batch_size=IMAGES)  # the loop counts images, not variants


def run(work: Work, networks: str = ARCH) -> None:
    """Trains both with the first seed; then with further seeds as long as the time suffices for both."""
    dataset = work.dataset.subset(FRACTION, work.seed)
    ait = _training("ait", networks, dataset, RECIPE)
    schedule = schedule_for(work, "ait", ait, dataset, work.budget.share(1 / len(CONFIGS)))
    longest = 0.0  # seconds of a seed
    for seed in range(work.seed, work.seed + SEEDS):
        started = time.monotonic()
        if longest > work.budget.left():
            return
        names = {method: f"ait-{method}-{seed}" for method in CONFIGS}
        missing = [method for method, name in names.items() if work.finished(name) is None]
        for method in missing:
            schedule_that_ran, results = train_one(work, names[method], method, networks, seed, schedule, dataset)
            work.finish(names[method], schedule_that_ran, results)
        if missing:
            summarize(work, schedule)
            longest = max(longest, time.monotonic() - started)


def train_one(
    work: Work, name: str, method: str, arch: str, seed: int, schedule: Schedule, dataset: Dataset
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains one network, or reads it; returns its schedule and its test accuracy.

    Args:
        work: Folder, Fabric and budget.
        name: Name of the run.
        method: A key of `CONFIGS`.
        arch: Name of the architecture.
        seed: Random seed of the run.
        schedule: That of AIT, from which that of plain training follows.
        dataset: Data with a tenth of the training images.
    """
    own_schedule, settings = schedule, replace(RECIPE, seed=seed)
    if method == "plain":
        own_schedule, settings = of_equal_steps(schedule), replace(settings, batch_size=VARIANTS * IMAGES)
    training = _training(method, arch, dataset, settings)
    checkpoint = train_new(work, name, arch, training, own_schedule, dataset, work.budget)
    results = {**clean_accuracy(work, checkpoint, schedule), **checkpoint.metrics}
    own = {
        "arch": arch,
        "method": method,
        "lr": checkpoint.settings["lr"],
        "steps": steps_of(own_schedule),
    }
    return own_schedule.record() | own, results


def of_equal_steps(schedule: Schedule) -> Schedule:
    """Returns the schedule of plain training: as many images go through the network at a step, for as many steps."""
    batch = min(VARIANTS * schedule.batch_size, schedule.train_images)
    epochs = max(1, round(steps_of(schedule) / (schedule.train_images // batch)))
    full = round(schedule.full_epochs * epochs / schedule.epochs)
    return replace(schedule, batch_size=batch, epochs=epochs, full_epochs=full)


def steps_of(schedule: Schedule) -> int:
    """Returns the training steps of a run."""
    return schedule.epochs * (schedule.train_images // schedule.batch_size)


def summarize(work: Work, schedule: Schedule) -> None:
    """Writes the test accuracies of all seeds, their means and the gain of AIT."""
    records = [
        [work.finished(f"ait-{method}-{seed}") for seed in range(work.seed, work.seed + SEEDS)] for method in CONFIGS
    ]
    pairs = [pair for pair in zip(*records, strict=True) if None not in pair]
    accuracies = {
        method: [100 * pair[index]["results"]["test_accuracy"] for pair in pairs]
        for index, method in enumerate(CONFIGS)
    }
    gain = mean(accuracies["ait"]) - mean(accuracies["plain"])
    figures = "; ".join(
        f"{method} {', '.join(f'{value:.2f}' for value in values)}" for method, values in accuracies.items()
    )
    results = {"test_accuracies": accuracies, "gain": gain, "text": f"gain {gain:+.2f} ({len(pairs)} seeds): {figures}"}
    work.finish("ait-all", schedule.record(), results)


def _training(method: str, arch: str, dataset: Dataset, settings: FitSettings) -> Training:
    return training_of(arch, dataset, CONFIGS[method].objective(1, settings.label_smoothing), settings, settings.lr)
