"""Grid search for gamma on validation data, by short runs on a part of the training images.

Kapoor et al. describe it in section 3.3.3. Gamma is the weight of a method's own term in the loss.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.strengths import augmented_correct
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, LabeledImages
from allweather.trainers.methods.finetune import (
    FinetuneSettings,
    build_objective,
    check_layers,
    finetune_lr,
)
from allweather.trainers.methods.gamma_selection import GammaSelection, GammaTrial, select_gamma
from allweather.trainers.methods.output_paths import gamma_trials_path, strengths_path
from allweather.trainers.methods.pair_objective import DEFAULT_GAMMAS, compared_images, table_rows_correct
from allweather.trainers.methods.strength_search import with_strengths
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.training.fit import fit

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GAMMAS = (0.1, 0.3, 1.0, 3.0, 10.0)
MAX_TRAIN_IMAGES = 10_000  # images of the training split that a trial uses
EPOCHS = 2  # in strategy "ca", one with Combined+ and one with Combined-


def search_gamma(
    start: Checkpoint,
    dataset: Dataset,
    settings: FinetuneSettings,
    out: Path | str,
    *,
    fabric: Fabric,
    watch: Callable[[GammaTrial], None] = lambda trial: None,
    watch_strengths: Callable[[str], None] = lambda name: None,
) -> GammaSelection:
    """Tries each gamma of a grid in a short run.

    The trials are compared by their accuracy on clean and augmented images; see `select_gamma`. If the checkpoint has
    no augmentation strengths, they are therefore searched first. Hidden files beside `out` keep the strengths and the
    finished trials; a later call with the same arguments continues from them. `finetune` with the same `out` uses the
    strengths and removes the files.

    Args:
        start: A classifier of the classes and image size of the data.
        dataset: Its train and val splits are used.
        settings: Settings of the finetuning; their gamma is not used.
        out: The checkpoint that the finetuning will write.
        fabric: A launched Fabric.
        watch: Called in every process with the result of each trial.
        watch_strengths: Called in the first process with the name of each augmentation before its strength is searched.

    Returns:
        The chosen gamma, and what the validation images could not tell.

    Raises:
        UsageError: The method has no gamma, or the data has other classes.
        TrainingError: The strength search failed, or a trial diverged.
        OutputError: A file cannot be written.
    """
    out = as_path(out)
    if settings.method == "at":
        raise UsageError("method at has no gamma to search for; leave out --gamma")
    dataset = start.adapt(dataset)
    check_layers(start, settings)
    start = with_strengths(
        start, dataset, settings.strength_points, keep=strengths_path(out), fabric=fabric, watch=watch_strengths
    )
    count = min(MAX_TRAIN_IMAGES, len(dataset.train))
    subset = dataclasses.replace(
        dataset, train=dataset.train.take(torch.linspace(0, len(dataset.train) - 1, count).long())
    )
    model = start.classifier().to(fabric.device)
    images = compared_images(dataset.val.readable().to(fabric.device))
    before = augmented_correct(model, images)
    resume_key = [
        weights_digest(model), dataset.fingerprint(), repr(dataclasses.replace(settings, gamma=None)),
        str(settings.augmentation(start.strengths).resume_key),  # the file of a learned augmentation may have changed
        str(sorted(start.strengths.items())), str(fabric.world_size), str(int(before.sum())),
    ]  # fmt: skip
    path = gamma_trials_path(out)
    trials, fit_settings = _read(path, resume_key), dataclasses.replace(settings.fit, epochs=EPOCHS, patience=None)
    for gamma in GAMMAS[len(trials) :]:
        trial_settings = dataclasses.replace(settings.with_gamma(gamma), fit=fit_settings)
        trained, _ = fit(
            start.classifier(), subset, fit_settings, finetune_lr(start, trial_settings),
            fabric=fabric, objective=build_objective(start, trial_settings, subset),
        )  # fmt: skip
        trials = (*trials, _evaluated(gamma, trained, images, start.strengths, fabric))
        watch(trials[-1])
        if fabric.is_global_zero:
            content = {"resume_key": resume_key, "trials": [trial.as_dict() for trial in trials]}
            with atomic_file(path) as temporary:
                temporary.write_text(json.dumps(content))
    return select_gamma(trials, before.double().cpu().numpy(), DEFAULT_GAMMAS[settings.method])


def _evaluated(
    gamma: float, model: nn.Module, images: LabeledImages, strengths: Mapping[str, float], fabric: Fabric
) -> GammaTrial:
    """Returns the result of a short run: which images its classifier gets right."""
    clean = augmented_correct(model, images).double()
    rows = table_rows_correct(model, images, strengths, fabric).sum(0).double()
    return GammaTrial(gamma, clean.cpu().numpy(), (clean + rows).cpu().numpy())


def _read(path: Path, resume_key: list[str]) -> tuple[GammaTrial, ...]:
    """Returns the finished trials of an earlier search with the same resume key; an empty tuple if there are none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return tuple(map(GammaTrial.from_dict, kept["trials"])) if kept["resume_key"] == resume_key else ()
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: start over
        return ()
