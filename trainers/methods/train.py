"""Trains new classifiers for a data set, one alone or several jointly, and saves them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.data.class_names import warn_of_flips
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.invariant import JointNetworks, accuracy_name, networks_in
from allweather.trainers.methods.new_network import NewNetwork, new_network
from allweather.trainers.methods.output_paths import checkpoint_paths, resume_path
from allweather.trainers.training.fit import fit
from allweather.trainers.training.objective import class_weights_of
from allweather.trainers.training.optimizer import ADAMW_PRETRAINED_SHARE, fill_defaults, highest_lr
from allweather.trainers.training.progress import EpochReport, Progress, kept_report
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger


def train(
    networks: Sequence[str | nn.Module | Checkpoint],
    dataset: Dataset,
    settings: FitSettings,
    out: Path | str,
    *,
    fabric: Fabric,
    pretrained: bool = False,
    config: TrainConfig = PLAIN,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Checkpoint, ...]:
    """Builds, trains and saves one classifier, or several jointly trained ones.

    While the run is unfinished, `.<name>.resume` beside `out` holds it; a later call with the same arguments continues
    from there.

    Args:
        networks: For each network the name of an architecture, a module of the user's own, or a checkpoint with one;
            see `new_network`. The last two start from the weights that they have, and are not changed.
        dataset: Its train and val splits are used.
        settings: Settings of the training loop.
        out: The checkpoint to write; the checkpoints of the second and further networks are named with "-2", "-3", ...
        fabric: A launched Fabric.
        pretrained: Whether networks that are built by name start from pretrained weights.
        config: Method and augmentation.
        loggers: Loggers of Lightning Fabric, such as of `open_logger`; see `fit`.
        watch: Called in every process with the progress after each step and each epoch.

    Returns:
        One checkpoint for each network.

    Raises:
        UsageError: An argument has a value that cannot work.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: A checkpoint cannot be written.
    """
    out = as_path(out)
    if config.loss_ramp > settings.epochs:
        raise UsageError(f"the loss ramp of {config.loss_ramp} epochs is longer than the training of {settings.epochs}")
    torch.manual_seed(settings.seed)
    started = [new_network(each, dataset, pretrained) for each in networks]
    dataset, models = _in_order_of(started, dataset), [each.model for each in started]
    objective = config.objective(len(networks), settings.label_smoothing, class_weights_of(settings, dataset))
    resume = resume_path(out)
    model_to_fit = JointNetworks(models, shared=config.method == "dml") if len(models) > 1 else models[0]
    settings = fill_defaults(settings, model_to_fit)
    # the lowest of the architectures' learning rates, because with a higher one a network may diverge
    sgd_lr = min(each.sgd_lr for each in started)
    share = ADAMW_PRETRAINED_SHARE if pretrained and settings.optimizer == "adamw" else 1.0
    lr = highest_lr(settings, model_to_fit, sgd_lr, share)
    hflip = dataset.hflip if settings.hflip is None else settings.hflip  # later methods obey it, too
    warn_of_flips(dataset.classes, hflip)
    saved_settings = {**settings.as_dict(), "lr": lr, "pretrained": pretrained, "hflip": hflip}
    # the notes say, for example, how many labels have been replaced by random ones
    saved_settings |= {"train_images": len(dataset.train), "notes": list(dataset.notes)}
    saved_settings |= config.as_dict() | ({"joint_archs": [each.arch for each in started]} if len(started) > 1 else {})
    of_loop = dataclasses.replace(settings, batch_size=config.images_per_step(settings.batch_size))
    averaged, history = fit(
        model_to_fit, dataset, of_loop, lr, fabric=fabric, objective=objective, resume=resume, loggers=loggers,
        hyperparameters={"arch": ", ".join(each.arch for each in started), **saved_settings}, watch=watch,
        score=EpochReport.mean_accuracy,
    )  # fmt: skip
    kept = kept_report(history, settings.patience, EpochReport.mean_accuracy).epoch
    saved_settings |= {"kept_epoch": kept} if settings.patience else {}
    saved_settings |= {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    checkpoints = tuple(
        _checkpoint(index, each, network, dataset, saved_settings, history, kept)
        for index, (each, network) in enumerate(zip(started, networks_in(averaged), strict=True), 1)
    )
    if fabric.is_global_zero:
        for path, checkpoint in zip(checkpoint_paths(out, len(started)), checkpoints, strict=True):
            save_checkpoint(path, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoints


def _in_order_of(started: Sequence[NewNetwork], dataset: Dataset) -> Dataset:
    """Returns the data with its labels in the order of a network that has its own order of the classes."""
    orders = {each.classes for each in started if each.classes}
    if len(orders) > 1:
        raise UsageError("networks that are trained jointly have their classes in the same order")
    return dataset.with_classes(*orders) if orders else dataset


def _checkpoint(
    index: int,
    started: NewNetwork,
    network: nn.Module,
    dataset: Dataset,
    settings: dict[str, Any],
    history: Sequence[EpochReport],
    kept_epoch: int,
) -> Checkpoint:
    """Makes the checkpoint of one network, with the metrics of the epoch that was kept; both are counted from 1."""
    name = accuracy_name(index)
    reports = [
        dataclasses.replace(report, val_accuracy=report.val_metrics.get(name, report.val_accuracy))
        for report in history
    ]
    return Checkpoint(
        arch=started.arch,
        classes=dataset.classes,
        input=started.input,
        weights={key.removeprefix("network."): value for key, value in network.state_dict().items()},
        data=dataset.name,
        seed=settings["seed"],
        settings=settings,
        metrics={"val_accuracy": reports[kept_epoch - 1].val_accuracy},
        history=tuple(report.row() for report in reports),
        module=started.module,
    )
