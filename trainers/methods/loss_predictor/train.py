"""Trains a loss predictor for a frozen classifier (Kim et al. 2020)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.class_names import warn_of_flips
from allweather.trainers.data.dataset import Dataset, RowDataset, Split
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.methods.loss_predictor.held_back import holds_back, predictor_images
from allweather.trainers.methods.loss_predictor.identity_margin import add_identity_margin
from allweather.trainers.methods.loss_predictor.quality import predictor_quality
from allweather.trainers.methods.loss_predictor.rank_objective import RankObjective
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses, compute_view_losses
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.models.loss_predictor import PREDICTORS, LossPredictor, build_predictor, predictor_input_spec
from allweather.trainers.training.fit import fit
from allweather.trainers.training.optimizer import fill_defaults, highest_lr
from allweather.trainers.training.progress import EpochReport, Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger


def add_predictor(
    start: Checkpoint,
    dataset: Dataset,
    settings: PredictorSettings,
    out: Path | str,
    *,
    losses_folder: Path | str,
    fabric: Fabric,
    watch_losses: Callable[[int, int], None] = lambda done, total: None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Trains a loss predictor for a classifier and saves both in one checkpoint.

    While the run is unfinished, `.<name>.resume` beside `out` holds it; a later call with the same arguments continues
    from there.

    Args:
        start: The classifier, which is not changed.
        dataset: Data of its classes and size; the train or the val split is used, as the settings say.
        settings: Settings of the training.
        out: The checkpoint to write.
        losses_folder: Folder in which the view losses are kept; see `compute_view_losses`.
        fabric: A launched Fabric.
        watch_losses: Called with (shards of view losses done, shards in total).
        loggers: Loggers of Lightning Fabric; see `fit`.
        watch: Called in every process with the progress after each step and each epoch.

    Raises:
        UsageError: The data has other classes, or `losses_folder` holds losses of something else.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: The checkpoint cannot be written.
    """
    out, losses_folder = as_path(out), as_path(losses_folder)
    dataset, resume = start.adapt(dataset), resume_path(out)
    classifier = FrozenClassifier.of_module(start.classifier(), fabric.device)
    predictor = predictor_for(
        classifier, start.input, dataset, settings, resume,
        losses_folder=losses_folder, fabric=fabric, watch_losses=watch_losses, loggers=loggers, watch=watch,
    )  # fmt: skip
    checkpoint = start.with_predictor(predictor)
    if fabric.is_global_zero:
        save_checkpoint(out, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoint


def predictor_for(
    classifier: FrozenClassifier,
    input_spec: InputSpec,
    dataset: Dataset,
    settings: PredictorSettings,
    resume: Path | str,
    *,
    losses_folder: Path | str,
    fabric: Fabric,
    watch_losses: Callable[[int, int], None] = lambda done, total: None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> TrainedPredictor:
    """Computes a classifier's losses on the views, and trains a loss predictor on them.

    Args:
        classifier: The classifier, in torch or in an engine.
        input_spec: Input of the classifier.
        dataset: Data of its size, with the labels in the order of its outputs; the train or the val split is used, as
            the settings say.
        settings: Settings of the training.
        resume: File to save the unfinished run in and to resume it from; the caller removes it.
        losses_folder: Folder in which the view losses are kept; see `compute_view_losses`.
        fabric: A launched Fabric.
        watch_losses: Called with (shards of view losses done, shards in total).
        loggers: Loggers of Lightning Fabric; see `fit`.
        watch: Called in every process with the progress after each step and each epoch.

    Raises:
        UsageError: `losses_folder` holds losses of something else.
        TrainingError: The run diverged, or its resume file belongs to another run.
    """
    resume, losses_folder = as_path(resume), as_path(losses_folder)
    spec = predictor_input_spec(input_spec)
    images, copy_settings = predictor_images(dataset, settings.copy_settings, settings.held_back)
    targets = compute_view_losses(
        classifier, images, spec, copy_settings, losses_folder,
        fabric=fabric, views=settings.views, watch=watch_losses,
    )  # fmt: skip
    if settings.exclude_family:
        targets = targets.exclude_family(settings.exclude_family)
    hflip = dataset.hflip if settings.fit.hflip is None else settings.fit.hflip
    warn_of_flips(dataset.classes, hflip)
    model, history, accuracy = fit_predictor(
        targets, spec, settings, hflip=hflip, fabric=fabric, resume=resume, loggers=loggers, watch=watch
    )
    held_back = holds_back(dataset.val, settings.held_back)
    fit_settings = fill_defaults(settings.fit, model)
    filled = dataclasses.replace(settings, copy_settings=copy_settings, held_back=held_back, fit=fit_settings)
    saved_settings = {**dataclasses.asdict(filled), "fit": filled.fit.as_dict(), "hflip": hflip, "data": dataset.name}
    saved_settings |= {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    del saved_settings["views"]  # the predictor has them
    return TrainedPredictor(
        kind=settings.kind,
        input=spec,
        views=targets.views,
        classifier_digest=classifier.digest,
        weights=model.state_dict(),
        settings=saved_settings,
        metrics={"val_accuracy": accuracy, **predictor_quality(model, targets.split_fold()[1])},
        history=tuple(report.row() for report in history),
    )


def fit_predictor(
    targets: ViewLosses,
    spec: InputSpec,
    settings: PredictorSettings,
    *,
    hflip: bool,
    fabric: Fabric,
    resume: Path | str | None = None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[LossPredictor, tuple[EpochReport, ...], float]:
    """Trains a loss predictor on four fifths of the images and evaluates it on the rest.

    The margin that keeps the predictions for clean images is found on that rest too; see `add_identity_margin`.

    Args:
        targets: View losses of the classifier. Their views, rather than those of the settings, are predicted.
        spec: Input of the predictor, the size of the images of `targets`.
        settings: Settings of the training.
        hflip: Whether a horizontally flipped image keeps its class. If so, half of the images are flipped together with
            their losses, unless the losses of a flipped image are unknown; see `flipped_columns`.
        fabric: A launched Fabric.
        resume: File to save the unfinished run in and to resume it from.
        loggers: Loggers of Lightning Fabric; see `fit`.
        watch: Called in every process with the progress after each step and each epoch.

    Returns:
        (the predictor; one report per epoch, whose `val_accuracy` is the classifier's accuracy on the view with the
        lowest predicted loss; the same accuracy after the margin has been added).

    Raises:
        TrainingError: The run diverged, or its resume file belongs to another run.
    """
    resume = None if resume is None else as_path(resume)
    torch.manual_seed(settings.fit.seed)
    model = build_predictor(settings.kind, spec, len(targets.views))
    train, val = targets.split_fold()
    objective = RankObjective(settings.loss, train, val, hflip)
    train_rows, val_rows = _labeled_by_row(train), _labeled_by_row(val)
    dataset = RowDataset("view losses", targets.views, train_rows, val_rows, val_rows, hflip=False)
    lr = highest_lr(settings.fit, model, PREDICTORS[settings.kind].lr)
    fit_settings = dataclasses.replace(settings.fit, hflip=False)  # the objective flips images with their losses
    own = {name: value for name, value in dataclasses.asdict(settings).items() if name not in ("fit", "views")}
    averaged, history = fit(
        model, dataset, fit_settings, lr, fabric=fabric, objective=objective, resume=resume, loggers=loggers,
        hyperparameters=own, watch=watch,
    )  # fmt: skip
    assert isinstance(averaged, LossPredictor)
    add_identity_margin(averaged, val)
    return averaged, history, objective.accuracy(averaged, dataset.val, fabric)


def _labeled_by_row(table: ViewLosses) -> Split:
    """Returns the images with their rows in the table as labels, from which the objective finds the losses."""
    return Split(table.images, torch.arange(len(table)))
