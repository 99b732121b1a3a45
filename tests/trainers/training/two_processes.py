"""Trains small networks and writes their losses; test_processes.py starts it with DEVICES FOLDER OUT [NAME]...

Without names it trains all of them, in the order of `runs`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric.loggers import CSVLogger
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

SPEC = InputSpec(32, 32)


def plain() -> nn.Module:
    """Returns a network without BatchNorm, so that every process computes exactly its part of one batch."""
    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 3)]
    return Classifier(nn.Sequential(*layers), SPEC)


def normalized() -> nn.Module:
    """Returns a network with BatchNorm."""
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()]
    return Classifier(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 49, 3)), SPEC)


def main() -> None:
    devices, folder, out, chosen = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    fabric = launch(devices, "fp32")
    dataset = open_dataset(f"folder:{folder}", 32)
    streamed = open_dataset(f"folder:{folder}", 32, reading=Reading(stream=True, workers=1, random_resized=True))
    losses, sgd = {}, FitSettings(epochs=2, batch_size=24, seed=2)
    runs: dict[str, tuple[Callable[[], nn.Module], FitSettings]] = {
        "plain": (plain, sgd),
        "streamed": (plain, sgd),
        "accumulated": (plain, dataclasses.replace(sgd, accumulate=3)),
        "resnet8": (lambda: build_model("resnet8", 3, SPEC), sgd),
        "normalized": (normalized, sgd),
        "synced": (normalized, dataclasses.replace(sgd, sync_batchnorm=True)),
        "weighted": (plain, dataclasses.replace(sgd, class_weights="balanced", clip_norm=0.1)),
        "balanced": (plain, dataclasses.replace(sgd, sampling="balanced", optimizer="adamw", schedule="step")),
    }
    runs = {name: run for name, run in runs.items() if not chosen or name in chosen}
    common = dataset.train.labels != 1
    common[torch.nonzero(~common)[:7, 0]] = True  # one class is rare
    skewed = dataclasses.replace(dataset, train=dataset.train.take(torch.nonzero(common)[:, 0]))
    logs = out.parent / f"logs-{fabric.world_size}"
    for name, (make, settings) in runs.items():
        torch.manual_seed(1)
        data = skewed if name in ("weighted", "balanced") else streamed if name == "streamed" else dataset
        loggers = [CSVLogger(logs, name, version="only")]
        _, history = fit(make(), data, settings, 0.02, fabric=fabric, loggers=loggers)
        losses[name] = [row.loss for row in history]
    if fabric.is_global_zero:
        rows = {name: len((logs / name / "only" / "metrics.csv").read_text().splitlines()) for name in runs}
        out.write_text(json.dumps({"processes": fabric.world_size, "losses": losses, "rows": rows}))


main()
