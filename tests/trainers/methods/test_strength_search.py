"""The augmentation strength search as a step of a run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import strength_search
from allweather.trainers.methods.strength_search import add_strengths, with_strengths
from allweather.trainers.training.launch import launch


def refuse_search(*_: object, **__: object) -> None:
    raise AssertionError("augmentation strengths were searched for, though they are known")


def test_strengths_are_added_to_a_checkpoint(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    made = add_strengths(checkpoint, dataset, out, fabric=launch())
    stored = load_checkpoint(out)
    assert stored.strengths == made.strengths
    assert stored.strengths == find_strengths(checkpoint.classifier(), dataset.val, 0.1).parameters
    assert dataclasses.replace(stored, strengths={}, weights={}) == dataclasses.replace(checkpoint, weights={})
    again = add_strengths(stored, dataset, out, points=20.0, fabric=launch())
    assert again.strengths != made.strengths


def test_known_strengths_are_kept(checkpoint: Checkpoint, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    start = dataclasses.replace(checkpoint, strengths={"brightness+": 0.1})
    assert with_strengths(start, dataset, 10.0, fabric=launch()) is start


def test_kept_strengths_are_those_of_the_same_classifier_data_and_points(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    keep, searched = tmp_path / ".strengths", list[str]()

    def search(points: float) -> Checkpoint:
        searched.clear()
        return with_strengths(checkpoint, dataset, points, keep=keep, fabric=launch(), watch=searched.append)

    first = search(10.0)
    assert searched
    assert search(10.0).strengths == first.strengths
    assert not searched
    assert search(20.0).strengths != first.strengths
    assert searched
    for damaged in ("", "[]", json.dumps({"resume_key": {}, "strengths": {}})):
        keep.write_text(damaged)
        assert search(10.0).strengths == first.strengths
        assert searched


def test_a_strength_at_its_limit_is_warned_about(
    checkpoint: Checkpoint, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    found = find_strengths(checkpoint.classifier(), dataset.val, 0.3)
    with_strengths(checkpoint, dataset, 30.0, fabric=launch())
    for strength in found.strengths:
        if strength.name in AUGMENTATIONS:
            assert (f"{strength.name} costs at most" in caplog.text) != strength.reached


def test_errors_of_the_search_are_raised(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="below 100; got 200"):
        with_strengths(checkpoint, dataset, 200.0, fabric=launch())
    with pytest.raises(TrainingError, match="99 points"):
        with_strengths(checkpoint, dataset, 99.0, keep=tmp_path / "kept", fabric=launch())
    other = dataclasses.replace(dataset, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="3 classes"):
        add_strengths(checkpoint, other, tmp_path / "out.safetensors", fabric=launch())
    assert not list(tmp_path.iterdir())
