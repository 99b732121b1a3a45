"""Trains one network with the project's loop, and keeps it in a small file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.methods.new_network import new_network
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.models.registry import default_lr
from allweather.trainers.training.fit import fit
from allweather.trainers.training.objective import Objective
from allweather.trainers.training.settings import FitSettings
from gpu.budget import Budget
from gpu.compiled import compile_in_place
from gpu.records import Work
from gpu.schedule import Schedule, Training, spread

EVALUATION_SHARE = 0.2  # of the time of a training
LEAST_IMAGES = 8  # to evaluate on


def training_of(
    arch: str, dataset: Dataset, objective: Objective, settings: FitSettings, lr: float | None = None
) -> Training:
    """Returns the training of a new network; its initial weights are those of the seed."""

    def network() -> nn.Module:
        torch.manual_seed(settings.seed)
        return new_network(arch, dataset, pretrained=False).model

    return Training(network, objective, settings, lr or default_lr(arch))


def train_new(
    work: Work, name: str, arch: str, training: Training, schedule: Schedule, dataset: Dataset, budget: Budget
) -> Checkpoint:
    """Trains a new network, or reads the one that an earlier call has trained; an unfinished run goes on.

    Args:
        work: Folder and Fabric.
        name: Name of the run, and of its file.
        arch: Name of the architecture.
        training: What is trained.
        schedule: How long, on how many images.
        dataset: Data with the images of the full run.
        budget: Time of the run.

    Raises:
        OutOfTimeError: The time is spent; what is on disk is continued by a later call.
    """
    out = work.folder / f"{name}.safetensors"
    if out.is_file():
        return load_checkpoint(out)
    data, settings = schedule.data(dataset, work.seed), schedule.fit_settings(training.settings)
    network, resume = training.network(), resume_path(out)
    lr = training.lr * settings.batch_size / training.settings.batch_size  # in proportion, where batches are cut
    averaged, history = fit(
        compile_in_place(network) if schedule.compiled else network, data, settings, lr,
        fabric=work.fabric, objective=training.objective, resume=resume, watch=budget.check,
    )  # fmt: skip
    checkpoint = Checkpoint(
        arch=arch,
        classes=data.classes,
        input=new_network(arch, data, pretrained=False).input,
        weights={key.removeprefix("network."): value for key, value in averaged.state_dict().items()},
        data=data.name,
        seed=settings.seed,
        settings={**settings.as_dict(), "lr": lr, "hflip": data.hflip, **training.objective.resume_key},
        metrics={"val_accuracy": history[-1].val_accuracy},
        history=tuple(report.row() for report in history),
    )
    return keep_small(out, checkpoint)


def keep_small(out: Path, checkpoint: Checkpoint) -> Checkpoint:
    """Saves a checkpoint with its large weights in fp16, removes its resume file, and returns what was saved."""
    weights = {key: _half_if_large(value) for key, value in checkpoint.weights.items()}
    save_checkpoint(out, replace(checkpoint, weights=weights))
    resume_path(out).unlink(missing_ok=True)
    return load_checkpoint(out)


def _half_if_large(value: Tensor) -> Tensor:
    """Returns the weights of layers as fp16; biases, norms and statistics are few and stay fp32."""
    return value.half() if value.is_floating_point() and value.ndim > 1 else value


def clean_accuracy(work: Work, checkpoint: Checkpoint, schedule: Schedule) -> dict[str, float]:
    """Returns the accuracy on clean test images, 0..1, and on how many: all but where a training is short.

    Args:
        work: Its test images.
        checkpoint: The classifier.
        schedule: Of the training, a fifth of whose time the evaluation may take.
    """
    test = work.dataset.test
    affordable = EVALUATION_SHARE * schedule.cost.image * schedule.images / max(schedule.cost.val_image, 1e-9)
    few = test.take(spread(len(test), max(LEAST_IMAGES, int(affordable)))).to(work.fabric.device)
    correct = count_correct(checkpoint.classifier().to(work.fabric.device), few, work.fabric)
    return {"test_accuracy": correct / len(few), "test_images": len(few)}
