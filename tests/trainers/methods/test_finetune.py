"""Robust finetuning from a checkpoint to a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import strength_search
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
FIT = FitSettings(epochs=2, batch_size=24, schedule="cosine", seed=3)


@pytest.fixture(scope="module")
def with_strengths(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, strengths=PAPER)


class StoppedError(Exception):
    """Stands for the end of the process."""


def stop_after_an_epoch(progress: Progress) -> None:
    if progress.report:
        raise StoppedError


def refuse_search(*_: object, **__: object) -> None:
    raise AssertionError("augmentation strengths were searched for, though none were needed")


@pytest.mark.slow
def test_a_resumed_finetuning_ends_like_an_uninterrupted_one(
    with_strengths: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    settings = FinetuneSettings("robust", gamma=0.5, fit=FIT)
    undisturbed, out = tmp_path / "expected.safetensors", tmp_path / "stopped.safetensors"
    finetune(with_strengths, dataset, settings, undisturbed, fabric=launch())
    with pytest.raises(StoppedError):
        finetune(with_strengths, dataset, settings, out, fabric=launch(), watch=stop_after_an_epoch)
    finetune(with_strengths, dataset, settings, out, fabric=launch())
    assert out.read_bytes() == undisturbed.read_bytes()
    stored = load_checkpoint(out)
    assert all(0 <= row["combined+"] <= 1 for row in stored.history)
    assert stored.strengths == PAPER
    assert stored.settings["method"] == "robust"
    assert stored.settings["gamma"] == 0.5
    assert "strength_points" not in stored.settings
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_strengths_that_are_missing_are_searched_first_and_stored(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    settings, out = FinetuneSettings("st", strength_points=20.0, fit=FIT), tmp_path / "robust.safetensors"
    searched: list[str] = []
    made = finetune(checkpoint, dataset, settings, out, fabric=launch(), watch_strengths=searched.append)
    assert set(AUGMENTATIONS) <= set(searched)
    strengths = find_strengths(checkpoint.classifier(), dataset.val, 0.2).parameters
    stored = load_checkpoint(out)
    assert stored.strengths == strengths
    assert stored.settings["strength_points"] == 20.0
    assert set(AUGMENTATIONS) <= set(stored.metrics)
    ready = finetune(
        dataclasses.replace(checkpoint, strengths=strengths), dataset, settings, tmp_path / "ready.safetensors",
        fabric=launch(),
    )  # fmt: skip
    assert all(torch.equal(made.weights[key], value) for key, value in ready.weights.items())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_resumed_finetuning_does_not_search_again(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, out = FinetuneSettings("fma", fit=FIT), tmp_path / "robust.safetensors"

    def stop_at_once(progress: Progress) -> None:
        raise StoppedError

    for stop in (stop_at_once, stop_after_an_epoch):  # before and after the loop has saved anything
        with pytest.raises(StoppedError):
            finetune(checkpoint, dataset, settings, out, fabric=launch(), watch=stop)
        monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    finetune(checkpoint, dataset, settings, out, fabric=launch())
    assert set(load_checkpoint(out).strengths) == set(AUGMENTATIONS)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_augmentations_of_torchvision_need_no_strengths(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    settings = FinetuneSettings("at", augment="trivial", fit=dataclasses.replace(FIT, epochs=1))
    made = finetune(checkpoint, dataset, settings, tmp_path / "x.safetensors", fabric=launch())
    assert made.strengths == {}
    assert set(made.metrics) == {"val_accuracy"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "fma", "gamma": -1.0}, "gamma .*; got -1"),
        ({"method": "fma", "gamma": float("nan")}, "gamma .*; got nan"),
        ({"method": "at", "gamma": 1.0}, "method at has no gamma"),
        ({"method": "at", "strategy": "ca", "augment": "augmix"}, "instead of a strategy"),
        ({"method": "st", "strategy": "ca", "only": "brightness+"}, "--only goes with --strategy ia"),
        ({"method": "st", "strategy": "ia", "only": "fog"}, "no augmentation is called 'fog'"),
        ({"method": "st", "strength_points": 0.0}, "strength points .* above 0 and below 100; got 0"),
        ({"method": "st", "strength_points": 100.0}, "strength points .* got 100"),
        ({"method": "st", "max_clean_drop": -0.5}, "max_clean_drop .* at least 0 and below 100; got -0.5"),
        ({"method": "st", "max_clean_drop": float("nan")}, "max_clean_drop .*; got nan"),
    ],
)
def test_invalid_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FinetuneSettings(**settings)  # type: ignore[arg-type]


def test_data_of_other_classes_is_refused_at_once(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    other = dataclasses.replace(dataset, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="3 classes"):
        finetune(checkpoint, other, FinetuneSettings("st", fit=FIT), tmp_path / "x.safetensors", fabric=launch())
    assert not list(tmp_path.iterdir())
