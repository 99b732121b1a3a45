"""Trains new classifiers for a data set, one alone or several jointly, and saves them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint.checkpoint import Checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.invariant import JointNetworks, accuracy_name, networks_in
from allweather.trainers.methods.output_paths import checkpoint_paths, resume_path
from allweather.trainers.models.registry import build_model, get_architecture, load_pretrained
from allweather.trainers.training.fit import fit
from allweather.trainers.training.objective import class_weights_of
from allweather.trainers.training.optimizer import ADAMW_PRETRAINED_SHARE, fill_defaults, highest_lr
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings


def train(
    archs: Sequence[str],
    dataset: Dataset,
    settings: FitSettings,
    out: Path | str,
    *,
    fabric: Fabric,
    pretrained: bool = False,
    config: TrainConfig = PLAIN,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Checkpoint, ...]:
    """Builds, trains and saves one classifier, or several jointly trained ones.

    While the run is unfinished, `.<name>.resume` beside `out` holds it; a later call with the same arguments continues
    from there.

    Args:
        archs: Names of `models.ARCHITECTURES`, one for each network.
        dataset: Its train and val splits are used.
        settings: Settings of the training loop.
        out: The checkpoint to write; the checkpoints of the second and further networks are named with "-2", "-3", ...
        fabric: A launched Fabric.
        pretrained: Whether to start from torchvision's ImageNet weights.
        config: Method and augmentation.
        watch: Called in every process with the progress after each step and each epoch.

    Returns:
        One checkpoint for each network.

    Raises:
        UsageError: An argument has a value that cannot work.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: A checkpoint cannot be written.
    """
    out = as_path(out)
    objective = config.objective(len(archs), settings.label_smoothing, class_weights_of(settings, dataset))
    side = dataset.train.images.shape[1]
    spec = InputSpec(side, side)
    torch.manual_seed(settings.seed)
    models = [build_model(arch, len(dataset.classes), spec) for arch in archs]
    for model, arch in zip(models, archs, strict=True):
        if pretrained:
            load_pretrained(model, arch)
    resume = resume_path(out)
    model_to_fit = JointNetworks(models, shared=config.method == "dml") if len(models) > 1 else models[0]
    settings = fill_defaults(settings, model_to_fit)
    # the lowest of the architectures' learning rates, because with a higher one a network may diverge
    sgd_lr = min(get_architecture(arch).lr for arch in archs)
    share = ADAMW_PRETRAINED_SHARE if pretrained and settings.optimizer == "adamw" else 1.0
    lr = highest_lr(settings, model_to_fit, sgd_lr, share)
    averaged, history = fit(
        model_to_fit, dataset, settings, lr, fabric=fabric, objective=objective, resume=resume, watch=watch
    )
    hflip = dataset.hflip if settings.hflip is None else settings.hflip  # later methods obey it, too
    saved_settings = {**dataclasses.asdict(settings), "lr": lr, "pretrained": pretrained, "hflip": hflip}
    # the notes say, for example, how many labels have been replaced by random ones
    saved_settings |= {"train_images": len(dataset.train), "notes": list(dataset.notes)}
    saved_settings |= {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    saved_settings |= config.as_dict() | ({"joint_archs": list(archs)} if len(archs) > 1 else {})
    checkpoints = tuple(
        _checkpoint(index, arch, network, dataset, saved_settings, history)
        for index, (arch, network) in enumerate(zip(archs, networks_in(averaged), strict=True), 1)
    )
    if fabric.is_global_zero:
        for path, checkpoint in zip(checkpoint_paths(out, len(archs)), checkpoints, strict=True):
            save_checkpoint(path, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoints


def _checkpoint(
    index: int,
    arch: str,
    network: nn.Module,
    dataset: Dataset,
    settings: dict[str, Any],
    history: Sequence[EpochReport],
) -> Checkpoint:
    """Makes the checkpoint of one network; the first has index 1."""
    side, name = dataset.train.images.shape[1], accuracy_name(index)
    reports = [
        dataclasses.replace(report, val_accuracy=report.val_metrics.get(name, report.val_accuracy))
        for report in history
    ]
    return Checkpoint(
        arch=arch,
        classes=dataset.classes,
        input=InputSpec(side, side),
        weights={key.removeprefix("network."): value for key, value in network.state_dict().items()},
        data=dataset.name,
        seed=settings["seed"],
        settings=settings,
        metrics={"val_accuracy": reports[-1].val_accuracy},
        history=tuple(report.row() for report in reports),
    )
