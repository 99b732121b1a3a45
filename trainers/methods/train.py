"""A new classifier for a data set, or several that learn together, from the first weight to the checkpoint on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.invariant import OTHER, JointNetworks, networks_of
from allweather.trainers.models.registry import build_model, get_architecture, load_pretrained
from allweather.trainers.training.fit import fit
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings


def train(
    archs: Sequence[str],
    dataset: Dataset,
    settings: FitSettings,
    out: Path,
    *,
    fabric: Fabric,
    pretrained: bool = False,
    config: TrainConfig = PLAIN,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Checkpoint, ...]:
    """Builds, trains and saves classifiers that learn from one another, or one alone.

    While they train, `.<name>.resume` beside `out` holds the run; a run that finds one goes on from there.

    Args:
        archs: names of `models.ARCHITECTURES`.
        dataset: train and val are used.
        settings: of the loop.
        out: the checkpoint to write; those of the second network and so on get its name with "-2" behind it.
        fabric: launched.
        pretrained: start from torchvision's ImageNet weights.
        recipe: method and augmentation.
        watch: told of every step and epoch.

    Raises:
        UsageError: an argument cannot work.
        TrainingError: the run diverged, or its resume file is of another run.
        OutputError: a checkpoint cannot be written.
    """
    objective = config.objective(len(archs), settings.label_smoothing)
    side = dataset.train.images.shape[1]
    spec = InputSpec(side, side)
    torch.manual_seed(settings.seed)
    models = [build_model(arch, len(dataset.classes), spec) for arch in archs]
    for model, arch in zip(models, archs, strict=True):
        if pretrained:
            load_pretrained(model, arch)
    usual = min(get_architecture(arch).lr for arch in archs)  # one rate for all: what is too high for one diverges
    lr = settings.lr or usual * settings.batch_size / 128
    resume = resume_path(out)
    together = JointNetworks(models, shared=config.method == "dml") if len(models) > 1 else models[0]
    averaged, history = fit(
        together, dataset, settings, lr, fabric=fabric, objective=objective, resume=resume, watch=watch
    )
    chosen = {**dataclasses.asdict(settings), "lr": lr, "pretrained": pretrained}
    chosen |= {"pictures": len(dataset.train), "notes": list(dataset.notes)}  # how many, and which labels are random
    chosen |= config.plain_settings() | ({"together": list(archs)} if len(archs) > 1 else {})
    checkpoints = tuple(
        _checkpoint(number, arch, network, dataset, chosen, history)
        for number, (arch, network) in enumerate(zip(archs, networks_of(averaged), strict=True), 1)
    )
    if fabric.is_global_zero:
        for place, checkpoint in zip(places(out, len(archs)), checkpoints, strict=True):
            save_checkpoint(place, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoints


def _checkpoint(
    number: int,
    arch: str,
    network: nn.Module,
    dataset: Dataset,
    settings: dict[str, Any],
    history: Sequence[EpochReport],
) -> Checkpoint:
    side, name = dataset.train.images.shape[1], OTHER.format(number)
    own = [dataclasses.replace(row, val_accuracy=row.others.get(name, row.val_accuracy)) for row in history]
    return Checkpoint(
        arch=arch,
        classes=dataset.classes,
        input=InputSpec(side, side),
        weights={key.removeprefix("network."): value for key, value in network.state_dict().items()},
        data=dataset.name,
        seed=settings["seed"],
        settings=settings,
        metrics={"val_accuracy": own[-1].val_accuracy, "seconds": sum(row.seconds for row in history)},
        history=tuple(row.row() for row in own),
    )


def places(out: Path, count: int) -> tuple[Path, ...]:
    """Where the checkpoints of so many networks go: `out`, and beside it "-2" and so on."""
    return (out, *(out.with_stem(f"{out.stem}-{number}") for number in range(2, count + 1)))


def resume_path(out: Path) -> Path:
    """Where an unfinished run for `out` is kept."""
    return out.with_name(f".{out.name}.resume")
