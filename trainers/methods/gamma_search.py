"""Gamma by grid search on validation data (Kapoor et al., 3.3.3): short runs on a part of the training pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.trainers.augmentations.strengths import augmented_accuracy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.finetune import FinetuneSettings, build_objective, checked, judgement, lr_of
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.fit import fit

GRID = (0.1, 0.3, 1.0, 3.0, 10.0)
PICTURES = 10_000  # of the training split
EPOCHS = 2  # one of Combined+, one of Combined-
LOSS_OF_CLEAN = 0.005  # accuracy on clean pictures that a gamma may cost


@dataclass(frozen=True)
class Trial:
    """A short run: its gamma, its accuracy on clean pictures and the mean of the ten rows, 0..1."""

    gamma: float
    clean: float
    mean: float


def search_gamma(
    start: Checkpoint,
    dataset: Dataset,
    settings: FinetuneSettings,
    keep: Path,
    *,
    fabric: Fabric,
    watch: Callable[[Trial], None] = lambda trial: None,
) -> tuple[float, tuple[Trial, ...]]:
    """Tries each gamma of a grid in a short run.

    Args:
        start: calibrated.
        dataset: train and val are used.
        settings: as for `finetune`; gamma is left open.
        keep: JSON file of finished trials, which a later call with the same arguments goes on from; it is removed by
            whoever keeps the result.
        fabric: launched.
        watch: told of each trial.

    Returns:
        (the gamma that `chosen` names, all trials).

    Raises:
        UsageError: the method has no gamma, or there is nothing to be judged by; see `finetune`.
    """
    if settings.method == "at":
        raise UsageError("method at has no gamma to search for; leave --gamma out")
    if not start.strengths:
        raise UsageError("a search for gamma judges by calibrated strengths; run allweather calibrate first")
    checked(start, dataset, settings)
    count = min(PICTURES, len(dataset.train))
    some = dataclasses.replace(
        dataset, train=dataset.train.take(torch.linspace(0, len(dataset.train) - 1, count).long())
    )
    model = start.classifier().to(fabric.device)
    clean = augmented_accuracy(model, dataset.val.to(fabric.device))
    resume_key = [
        weights_digest(model), dataset.fingerprint(), repr(dataclasses.replace(settings, gamma=None)),
        str(settings.augmentation(start.strengths).resume_key),  # a learned augmentation of that name may be another
        str(sorted(start.strengths.items())), str(fabric.world_size), str(clean),
    ]  # fmt: skip
    done, short = _read(keep, resume_key), dataclasses.replace(settings.fit, epochs=EPOCHS)
    for gamma in GRID[len(done) :]:
        trial = dataclasses.replace(settings.with_gamma(gamma), fit=short)
        _, history = fit(
            start.classifier(), some, trial.fit, lr_of(start, trial),
            fabric=fabric, objective=build_objective(start, trial),
        )  # fmt: skip
        judged = judgement(history[-1])
        done = (*done, Trial(gamma, judged["val_accuracy"], judged["mean_of_ten"]))
        watch(done[-1])
        if fabric.is_global_zero:
            with atomic_file(keep) as beside:
                beside.write_text(json.dumps({"identity": resume_key, "trials": [dataclasses.asdict(t) for t in done]}))
    return chosen(done, clean), done


def chosen(trials: tuple[Trial, ...], clean: float) -> float:
    """The gamma of the best mean among trials that cost at most half a point of clean accuracy.

    Where none is so with_margin, as a short run may cost more at any gamma, among all.

    Args:
        trials: finished.
        clean: accuracy before, 0..1.
    """
    with_margin = [trial for trial in trials if trial.clean >= clean - LOSS_OF_CLEAN]
    return max(with_margin or trials, key=lambda trial: trial.mean).gamma


def _read(keep: Path, resume_key: list[str]) -> tuple[Trial, ...]:
    """Finished trials of the same search."""
    try:
        found = json.loads(keep.read_text(encoding="utf-8"))
        return tuple(Trial(**row) for row in found["trials"]) if found["identity"] == resume_key else ()
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: begin anew
        return ()
