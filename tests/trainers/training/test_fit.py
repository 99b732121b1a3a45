from __future__ import annotations

import dataclasses
import importlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.limits import usable_cores
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.torchvision_import import import_torchvision
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SETTINGS = FitSettings(epochs=3, batch_size=24, seed=4)
ADAMW = FitSettings(epochs=3, batch_size=24, seed=4, optimizer="adamw", schedule="step", warmup=0.2, clip_norm=0.5)
ADAMW = dataclasses.replace(ADAMW, sampling="balanced")
SETTINGS_TO_RESUME = [dataclasses.replace(SETTINGS, optimizer="sgd"), ADAMW]


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}", 32)


def small_model() -> nn.Module:
    """Returns a network with what is hard to resume: BatchNorm's statistics, draws of dropout and of DropPath."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3)]
    layers += [import_torchvision("ops").StochasticDepth(0.2, "row"), nn.Flatten(), nn.Linear(8 * 225, 3)]
    return Classifier(nn.Sequential(*layers), InputSpec(32, 32))


class StoppedError(Exception):
    pass


def stop_at(step: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.report is None and progress.step == step:
            raise StoppedError

    return watch


def racing_clock() -> Iterator[float]:
    """Yields times that are ten minutes apart, so that every step is saved."""
    now = 0.0
    while True:
        now += 600.0
        yield now


@pytest.mark.parametrize("settings", SETTINGS_TO_RESUME, ids=lambda settings: settings.optimizer)
@pytest.mark.parametrize("step", [2, 5, 6, 13])
@pytest.mark.slow
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    dataset: Dataset, tmp_path: Path, step: int, settings: FitSettings
) -> None:
    fabric, resume = launch(), tmp_path / "run.resume"
    expected, expected_history = fit(small_model(), dataset, settings, 0.05, fabric=fabric)
    clock = racing_clock()
    with pytest.raises(StoppedError):
        fit(
            small_model(), dataset, settings, 0.05, fabric=fabric, resume=resume, watch=stop_at(step),
            clock=lambda: next(clock),
        )  # fmt: skip
    assert resume.exists()
    resumed, history = fit(small_model(), dataset, settings, 0.05, fabric=fabric, resume=resume)
    for key, value in expected.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert [row.row() for row in history] == [row.row() for row in expected_history]
    assert all(row.seconds > 0 for row in history)  # also of the epochs before the stop


def test_a_run_with_a_frozen_layer_can_be_resumed(dataset: Dataset, tmp_path: Path) -> None:
    def frozen() -> nn.Module:
        model = small_model()
        next(model.parameters()).requires_grad_(requires_grad=False)
        return model

    with pytest.raises(StoppedError):
        fit(frozen(), dataset, SETTINGS, 0.05, fabric=launch(), resume=tmp_path / "a", watch=stop_at(7))
    model, history = fit(frozen(), dataset, SETTINGS, 0.05, fabric=launch(), resume=tmp_path / "a")
    assert len(history) == SETTINGS.epochs
    torch.testing.assert_close(next(model.parameters()), next(small_model().parameters()))


def test_it_learns(dataset: Dataset) -> None:
    _, history = fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch())
    assert history[-1].loss < history[0].loss
    assert history[-1].val_accuracy > 0.8


def test_clipping_shortens_a_step_to_the_norm(dataset: Dataset) -> None:
    def step_length(clip_norm: float | None) -> float:
        model = small_model()
        before = [parameter.detach().clone() for parameter in model.parameters()]
        settings = FitSettings(
            epochs=1, batch_size=len(dataset.train), weight_decay=0.0, ema=0.0, momentum=1e-9, schedule="step",
            milestones=(0.9,), clip_norm=clip_norm,
        )  # fmt: skip
        fit(model, dataset, settings, 0.1, fabric=launch(precision="fp32"))
        changes = [(now.detach() - then).square().sum() for now, then in zip(model.parameters(), before, strict=True)]
        return float(torch.stack(changes).sum().sqrt())

    free = step_length(None)
    assert step_length(free / 0.1 / 4) == pytest.approx(free / 4, rel=1e-3)
    assert step_length(free / 0.1 * 4) == pytest.approx(free, rel=1e-6)


def test_a_network_whose_code_was_edited_is_no_other_runs(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = tmp_path / "run.resume"
    fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)
    loop = import_module("allweather.trainers.training.fit")
    monkeypatch.setattr(loop, "code_digest", lambda network: "edited", raising=False)
    with pytest.raises(TrainingError, match="another network, or other settings"):
        fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)


def test_a_run_on_random_parts_of_images_is_not_continued_on_shifted_ones(folder: Path, tmp_path: Path) -> None:
    streams = (Reading(stream=True, workers=0, random_resized=is_random) for is_random in (True, False))
    random, shifted = (open_dataset(f"folder:{folder}", 32, reading=each) for each in streams)
    settings, resume = dataclasses.replace(SETTINGS, epochs=1), tmp_path / "run.resume"
    fit(small_model(), random, settings, 0.05, fabric=launch(), resume=resume)
    with pytest.raises(TrainingError, match="other settings, data or processes"):
        fit(small_model(), shifted, settings, 0.05, fabric=launch(), resume=resume)


def test_a_resume_file_of_another_run_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    resume = tmp_path / "run.resume"
    fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)
    with pytest.raises(TrainingError, match=r"other settings, data or processes; finish .* delete"):
        fit(small_model(), dataset, SETTINGS, 0.06, fabric=launch(), resume=resume)
    other = dataclasses.replace(dataset, hflip=not dataset.hflip)
    with pytest.raises(TrainingError, match="other settings, data or processes"):
        fit(small_model(), other, SETTINGS, 0.05, fabric=launch(), resume=resume)
    resume.write_bytes(b"not a tensor")
    with pytest.raises(TrainingError, match=r"damaged .* delete it"):
        fit(small_model(), dataset, SETTINGS, 0.05, fabric=launch(), resume=resume)


def test_a_diverging_run_says_what_to_do(dataset: Dataset) -> None:
    for clip_norm in (None, 1.0):
        settings = FitSettings(epochs=4, batch_size=24, clip_norm=clip_norm)
        with pytest.raises(TrainingError, match="lower the learning rate"):
            fit(small_model(), dataset, settings, 1e30, fabric=launch())


def test_a_batch_that_holds_all_images_is_warned_about(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    fit(small_model(), dataset, FitSettings(epochs=1, batch_size=1000), 0.05, fabric=launch())
    count = len(dataset.train)
    assert re.search(rf"batch of 1000 holds all {count} .*--batch-size {count // 10}", caplog.text)


def test_the_batch_size_that_is_advised_is_allowed(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    few = dataset.subset(8 / len(dataset.train), 0)
    fit(small_model(), few, FitSettings(epochs=1, batch_size=1000), 0.05, fabric=launch())
    advised = re.search(r"try --batch-size (\d+)", caplog.text)
    assert advised
    assert FitSettings(batch_size=int(advised[1])).batch_size == 2


def test_more_devices_than_the_machine_has() -> None:
    with pytest.raises(UsageError, match=f"--devices must be 1 to {usable_cores()} .*got 4000"):
        launch(devices=4000)


def test_a_container_with_one_core_gets_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(importlib.import_module("allweather.trainers.training.launch"), "usable_cores", lambda: 1)
    try:
        torch.set_num_threads(2)
        launch()
        assert torch.get_num_threads() == 1
        with pytest.raises(UsageError, match=r"--devices must be 1 to 1 on this machine \(CPU cores\); got 2"):
            launch(devices=2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.end_to_end
def test_a_killed_training_on_variants_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        line = (
            f"train --data folder:{folder} --size 32 --arch resnet8 --epochs 3 --batch-size 20 --out {out} "
            "--method ait --variants rp,rpgc --augment trivial"
        )
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
    first, second = load_checkpoint(killed), load_checkpoint(whole)
    assert all(torch.equal(first.weights[key], second.weights[key]) for key in first.weights)
    assert [row["loss"] for row in first.history] == [row["loss"] for row in second.history]
    assert list(tmp_path.glob(".*.resume")) == []
