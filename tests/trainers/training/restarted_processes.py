"""Trains a small network twice on streamed images under torchrun: test_processes.py starts it with FOLDER OUT STEP.

The first training is undisturbed and writes whole.safetensors beside OUT. In the second one, which writes OUT, the
second process kills itself after STEP; torchrun starts both again, and they go on with that training.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings


def small_model() -> nn.Module:
    """Returns a network with BatchNorm, whose statistics differ from process to process, and with dropout."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3)]
    return Classifier(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 225, 3)), InputSpec(32, 32))


def clock_of(rank: int) -> Callable[[], float]:
    """Returns a clock that is 50 seconds later at each look in the first process, and 1000 in the second."""

    def times() -> Iterator[float]:
        now = 0.0
        while True:
            now += 1000.0 if rank else 50.0
            yield now

    ticks = times()
    return lambda: next(ticks)


def main() -> None:
    folder, out, fatal_step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    fabric, steps = launch(2, "fp32"), list[int]()
    data = open_dataset(f"folder:{folder}", 32, reading=Reading(stream=True, workers=1, random_resized=True))
    first_life = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"

    def watch(progress: Progress) -> None:
        steps.append(progress.step)
        if first_life and fabric.global_rank == 1 and progress.step == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def train(path: Path, watch: Callable[[Progress], None]) -> None:
        model, history = fit(
            small_model(), data, FitSettings(epochs=3, batch_size=20, seed=4), 0.05, fabric=fabric,
            resume=path.with_suffix(".resume"), watch=watch, clock=clock_of(fabric.global_rank),
        )  # fmt: skip
        if fabric.is_global_zero:
            losses = json.dumps([report.row() for report in history])
            tensor_file.write(path, model.state_dict(), {"losses": losses})

    if first_life:
        train(out.with_name("whole.safetensors"), lambda progress: None)
    train(out, watch)
    if fabric.is_global_zero:
        out.with_suffix(".json").write_text(json.dumps(steps))


main()
