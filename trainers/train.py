"""A new classifier for a data set, from the first weight to the checkpoint on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric

from allweather.runtimes.image import InputSpec
from allweather.trainers import checkpoint as checkpoints
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.distortions import Library, LibraryName
from allweather.trainers.fit import fit
from allweather.trainers.models import architecture, build, load_pretrained
from allweather.trainers.objective import CrossEntropy
from allweather.trainers.progress import Progress
from allweather.trainers.settings import FitSettings
from allweather.trainers.splits import Dataset


def train(
    arch: str,
    dataset: Dataset,
    settings: FitSettings,
    out: Path,
    *,
    fabric: Fabric,
    pretrained: bool = False,
    augment: LibraryName | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Builds, trains and saves a classifier.

    While it trains, `.<name>.resume` beside `out` holds the run; a run that finds one goes on from there.

    Args:
        arch: a name of `models.ARCHITECTURES`.
        dataset: train and val are used.
        settings: of the loop.
        out: the checkpoint to write.
        fabric: launched.
        pretrained: start from torchvision's ImageNet weights.
        augment: torchvision's augmentation of the pictures, beside shifts and mirroring.
        watch: told of every step and epoch.

    Raises:
        UsageError: an argument cannot work.
        TrainingError: the run diverged, or its resume file is of another run.
        OutputError: the checkpoint cannot be written.
    """
    side = dataset.train.images.shape[1]
    spec = InputSpec(side, side)
    torch.manual_seed(settings.seed)
    model = build(arch, len(dataset.classes), spec)
    if pretrained:
        load_pretrained(model, arch)
    peak_rate = settings.peak_rate or architecture(arch).peak_rate * settings.batch / 128
    resume = resume_path(out)
    objective = CrossEntropy(settings.label_smoothing, Library(augment) if augment else None)
    averaged, history = fit(
        model, dataset, settings, peak_rate, fabric=fabric, objective=objective, resume=resume, watch=watch
    )
    weights = {key.removeprefix("network."): value for key, value in averaged.state_dict().items()}
    checkpoint = Checkpoint(
        arch=arch,
        classes=dataset.classes,
        input=spec,
        weights=weights,
        data=dataset.name,
        seed=settings.seed,
        settings={**dataclasses.asdict(settings), "peak_rate": peak_rate, "pretrained": pretrained, "augment": augment},
        metrics={"val_accuracy": history[-1].val_accuracy, "seconds": sum(row.seconds for row in history)},
        history=tuple(row.row() for row in history),
    )
    if fabric.is_global_zero:
        checkpoints.save(out, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoint


def resume_path(out: Path) -> Path:
    """Where an unfinished run for `out` is kept."""
    return out.with_name(f".{out.name}.resume")
