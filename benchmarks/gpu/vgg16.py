"""Tables of the FMA paper (Kapoor et al.): VGG-16 without BatchNorm, then FMA, ST and AT with combined augmentation.

The strengths are searched on images that the network has not seen: on those that it knows by heart, an augmentation
seems to cost less than it does. FMA, ST and AT have the same schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from allweather.evaluation.augmented import augmented_evaluation
from allweather.runtimes.errors import TrainingError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.choices import FinetuneMethod
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.config import PLAIN
from allweather.trainers.methods.finetune import FinetuneSettings, build_objective, finetune, finetune_lr
from allweather.trainers.methods.output_paths import strengths_path
from allweather.trainers.methods.strength_search import DEFAULT_POINTS, with_strengths
from allweather.trainers.training.settings import FitSettings
from gpu.budget import Budget
from gpu.records import Work
from gpu.schedule import Schedule, Training, schedule_for, spread
from gpu.training import keep_small, train_new, training_of

ARCH = "vgg16"
START = "vgg16-plain"
GOAL = 0.92  # test accuracy before finetuning, about that of the paper's VGG-16
FULL_EPOCHS, FINETUNING_EPOCHS = 100, 30
METHODS: tuple[FinetuneMethod, ...] = ("fma", "st", "at")
START_SHARE = 0.35  # of the time of this part, for the training from scratch
SEARCH_SHARE = 0.15  # of what is left then, for the search of the strengths
FINETUNING_SHARE = 0.85  # of the time of a finetuning, the rest is for its evaluation
PASSES_OF_SEARCH = 130  # forward passes of each image in a search; see `find_strengths`
EVALUATION_SHARE = 0.1  # of what is left, for the ten rows before the finetuning
ROWS = 10  # of table 3
LEAST_IMAGES = 8  # to search or to evaluate on
SEARCH_SETTINGS = ("strength_images", "strength_points", "strengths_of_the_paper")


def run(work: Work, networks: str = ARCH) -> None:
    """Trains, searches, finetunes and evaluates; each step within its share of the time."""
    budget = work.budget
    settings = FitSettings(epochs=FULL_EPOCHS, seed=work.seed)
    training = training_of(networks, work.dataset, PLAIN.objective(1, settings.label_smoothing), settings)
    schedule = schedule_for(work, START, training, work.dataset, budget.share(START_SHARE))
    start = train_new(work, START, networks, training, schedule, work.dataset, budget)
    if not start.strengths:
        start = searched(work, start, schedule, budget.share(SEARCH_SHARE))
    before = work.finished(START) or evaluated(work, start, schedule)
    for index, method in enumerate(METHODS):
        if work.finished(f"vgg16-{method}-ca") is None:
            finetuned(work, start, method, before["results"], budget.share(1 / (len(METHODS) - index)))


def evaluated(work: Work, start: Checkpoint, schedule: Schedule) -> dict[str, Any]:
    """Evaluates the network before its finetuning on as many test images as the time allows; writes the record."""
    count = int(EVALUATION_SHARE * work.budget.left() / (ROWS * schedule.cost.val_image))
    results = rows(work, start, max(LEAST_IMAGES, count), work.budget)
    clean = results["accuracies"]["clean"]
    search = {key: start.settings[key] for key in SEARCH_SETTINGS if key in start.settings}
    text = f"clean {100 * clean:.2f}, average of the ten rows {100 * results['average']:.2f}"
    own = {"arch": start.arch, "lr": start.settings["lr"]}
    goal = {"goal": GOAL, "goal_reached": clean >= GOAL}
    return work.finish(START, schedule.record() | own, {**results, **goal, **search, "text": text})


def searched(work: Work, start: Checkpoint, schedule: Schedule, budget: Budget) -> Checkpoint:
    """Saves the network with its strengths and how they were found; if a search is impossible, those of the paper."""
    val, out = work.dataset.val, work.folder / f"{START}.safetensors"
    count = int(budget.left() / (PASSES_OF_SEARCH * schedule.cost.val_image))
    few = replace(work.dataset, val=val.take(spread(len(val), max(LEAST_IMAGES, count))))
    how: dict[str, Any] = {"strength_images": len(few.val), "strength_points": DEFAULT_POINTS}
    try:
        found = with_strengths(
            start, few, DEFAULT_POINTS, keep=strengths_path(out), fabric=work.fabric, watch=work.budget.check
        )
    except TrainingError as error:  # such as of a network that has hardly been trained
        how["strengths_of_the_paper"] = str(error)
        found = replace(start, strengths={name: each.paper for name, each in AUGMENTATIONS.items()})
    found = keep_small(out, replace(found, settings={**start.settings, **how}))
    strengths_path(out).unlink(missing_ok=True)
    return found


def finetuned(work: Work, start: Checkpoint, method: FinetuneMethod, before: Mapping[str, Any], budget: Budget) -> None:
    """Finetunes with one method, evaluates on the ten rows, and writes the record beside the rows before."""
    name, dataset = f"vgg16-{method}-ca", work.dataset
    out = work.folder / f"{name}.safetensors"
    full = FitSettings(epochs=FINETUNING_EPOCHS, schedule="cosine", seed=work.seed)
    costliest = _training(start, FinetuneSettings("fma", "ca", fit=full), dataset)
    schedule = schedule_for(work, "vgg16-finetuning", costliest, dataset, budget.share(FINETUNING_SHARE))
    settings = FinetuneSettings(method, "ca", fit=schedule.fit_settings(full))
    if not out.is_file():
        data = schedule.data(dataset, work.seed)
        finetune(start, data, settings, out, fabric=work.fabric, watch=budget.check)
    done = keep_small(out, load_checkpoint(out))
    after = rows(work, done, before["test_images"], budget)
    gain = 100 * (after["average"] - before["average"])
    pairs = {row: (100 * before["accuracies"][row], 100 * value) for row, value in after["accuracies"].items()}
    text = ", ".join(f"{row} {first:.1f} / {last:.1f}" for row, (first, last) in pairs.items())
    settings_that_ran = {key: done.settings[key] for key in ("method", "strategy", "gamma", "lr")}
    results = {
        **after,
        "before": before["accuracies"],
        "average_gain": gain,
        "text": f"average {gain:+.2f}; before / after: {text}",
    }
    work.finish(name, schedule.record() | settings_that_ran, results)


def rows(work: Work, checkpoint: Checkpoint, count: int, budget: Budget) -> dict[str, Any]:
    """Returns the accuracies of the ten rows of table 3 on `count` test images, their mean, and the strengths."""
    test = work.dataset.test
    few = replace(work.dataset, test=test.take(spread(len(test), count)))
    with open_model(checkpoint) as target:
        evaluation = augmented_evaluation(target, few, checkpoint.strengths, watch=budget.check)
    values = {"accuracies": dict(evaluation.accuracies), "average": evaluation.average}
    return {**values, "test_images": len(few.test), "strengths": dict(evaluation.strengths)}


def _training(start: Checkpoint, settings: FinetuneSettings, dataset: Dataset) -> Training:
    objective = build_objective(start, settings, dataset)
    return Training(start.classifier, objective, settings.fit, finetune_lr(start, settings), compiles=False)
