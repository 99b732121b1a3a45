from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint import checkpoint as checkpoints
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.models.registry import Classifier
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SETTINGS = FitSettings(epochs=3, batch_size=24, seed=4)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}", 32)


def small_model() -> nn.Module:
    """A network with what makes resuming hard: BatchNorm's statistics and dropout's draws."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8 * 225, 3)]
    return Classifier(nn.Sequential(*layers), InputSpec(32, 32))


class StoppedError(Exception):
    pass


def stop_at(step: int) -> object:
    def watch(now: Progress) -> None:
        if now.report is None and now.step == step:
            raise StoppedError

    return watch


def racing_clock() -> Iterator[float]:
    """Each look at it is ten minutes later, so that every step is saved."""
    now = 0.0
    while True:
        now += 600.0
        yield now


@pytest.mark.parametrize("step", [2, 5, 6, 13])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(dataset: Dataset, tmp_path: Path, step: int) -> None:
    fabric, resume = launch(), tmp_path / "run.resume"
    whole, history = fit(small_model(), dataset, SETTINGS, 0.05, fabric=fabric)
    clock = racing_clock()
    with pytest.raises(StoppedError):
        fit(
            small_model(), dataset, SETTINGS, 0.05, fabric=fabric, resume=resume, watch=stop_at(step),
            clock=lambda: next(clock),
        )  # fmt: skip
    assert resume.exists()
    resumed, second = fit(small_model(), dataset, SETTINGS, 0.05, fabric=fabric, resume=resume)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert [row.loss for row in history] == [row.loss for row in second]
    assert history[-1].val_accuracy == second[-1].val_accuracy


def test_a_run_with_a_frozen_layer_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    def frozen() -> nn.Module:
        model = small_model()
        next(model.parameters()).requires_grad_(requires_grad=False)
        return model

    with pytest.raises(StoppedError):
        fit(frozen(), dataset, SETTINGS, 0.05, fabric=launch(), resume=tmp_path / "a", watch=stop_at(7))  # type: ignore[arg-type]
    made, history = fit(frozen(), dataset, SETTINGS, 0.05, fabric=launch(), resume=tmp_path / "a")
    assert len(history) == SETTINGS.epochs
    torch.testing.assert_close(next(made.parameters()), next(small_model().parameters()))


def test_it_learns_and_the_loss_falls(dataset: Dataset) -> None:
    _, history = fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch())
    assert history[-1].loss < history[0].loss
    assert history[-1].val_accuracy > 0.8


def test_a_resume_file_of_another_run_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    resume = tmp_path / "run.resume"
    fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)
    with pytest.raises(TrainingError, match="other settings, data or processes; finish it with the same ones"):
        fit(small_model(), dataset, SETTINGS, 0.06, fabric=launch(), resume=resume)
    resume.write_bytes(b"not a tensor")
    with pytest.raises(TrainingError, match=r"damaged .* delete it to begin anew"):
        fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)


def test_a_run_that_diverges_says_so(dataset: Dataset) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(small_model(), dataset, FitSettings(epochs=4, batch_size=24), 1e30, fabric=launch())


def test_a_batch_of_all_pictures_is_warned_of(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    fit(small_model(), dataset, FitSettings(epochs=1, batch_size=1000), 0.05, fabric=launch())
    count = len(dataset.train)
    assert f"a batch of 1000 holds all {count} training pictures" in caplog.text


def test_more_devices_than_there_are() -> None:
    with pytest.raises(UsageError, match=f"--devices is 1 to {os.cpu_count()}"):
        launch(devices=4000)


@pytest.mark.parametrize("more", ["", "--method ait --variants rp,rpgc --augment trivial"])
def test_killed_in_the_middle_it_goes_on_to_the_same_weights(folder: Path, tmp_path: Path, more: str) -> None:
    def command(out: Path) -> list[str]:
        line = f"train --data folder:{folder} --size 32 --arch resnet20 --epochs 3 --batch 20 --out {out} {more}"
        return [sys.executable, "-m", "allweather.cli", *line.split()]

    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    running = subprocess.Popen(command(killed), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / ".killed.safetensors.resume").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not killed.exists(), "the run ended before it could be killed"
    for out in (killed, whole):
        subprocess.run(command(out), check=True, capture_output=True, timeout=120)
    first, second = checkpoints.load(killed), checkpoints.load(whole)
    assert all(torch.equal(first.weights[key], second.weights[key]) for key in first.weights)
    assert [row["loss"] for row in first.history] == [row["loss"] for row in second.history]
    assert list(tmp_path.glob(".*.resume")) == []
