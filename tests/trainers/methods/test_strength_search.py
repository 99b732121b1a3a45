"""The augmentation strength search as a step of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.strengths import AugmentationStrengths, Strength, find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.methods import strength_search
from allweather.trainers.methods.strength_search import images_note, with_strengths
from allweather.trainers.training.launch import launch


@pytest.fixture
def drops(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replaces the search by one that takes no time; holds the accuracy drops that were searched for."""
    searched: list[float] = []

    def search(
        model: nn.Module, val: Split, accuracy_drop: float, *, watch: Callable[[str], None]
    ) -> AugmentationStrengths:
        searched.append(accuracy_drop)
        strengths = []
        for index, name in enumerate(AUGMENTATIONS):
            watch(name)
            strengths.append(Strength(name, index + accuracy_drop, 0.9, reached=index > 0))
        combined = Strength("combined+", None, 0.5, reached=False)
        return AugmentationStrengths(1.0, accuracy_drop, (*strengths, combined))

    monkeypatch.setattr(strength_search, "find_strengths", search)
    return searched


@pytest.mark.slow
def test_the_search_is_that_of_the_augmentations(checkpoint: Checkpoint, dataset: Dataset) -> None:
    found = with_strengths(checkpoint, dataset, 10.0, fabric=launch())
    assert found.strengths == find_strengths(checkpoint.classifier(), dataset.val, 0.1).parameters


def test_known_strengths_are_not_searched_again(checkpoint: Checkpoint, dataset: Dataset, drops: list[float]) -> None:
    start = dataclasses.replace(checkpoint, strengths={"brightness+": 0.1})
    assert with_strengths(start, dataset, 10.0, fabric=launch()) is start
    assert not drops


@pytest.mark.slow
def test_kept_strengths_are_those_of_the_same_classifier_data_and_points(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, drops: list[float]
) -> None:
    keep, watched = tmp_path / ".strengths", list[str]()

    def search(points: float) -> Checkpoint:
        return with_strengths(checkpoint, dataset, points, keep=keep, fabric=launch(), watch=watched.append)

    first = search(10.0)
    assert watched == list(AUGMENTATIONS)
    assert search(10.0).strengths == first.strengths
    assert drops == [0.1]
    assert search(20.0).strengths != first.strengths
    assert drops == [0.1, 0.2]
    for damaged in ("", "[]", json.dumps({"resume_key": {}, "strengths": {}})):
        keep.write_text(damaged)
        assert search(10.0).strengths == first.strengths
    assert drops == [0.1, 0.2, 0.1, 0.1, 0.1]


def test_a_strength_at_its_limit_is_warned_about(
    checkpoint: Checkpoint, dataset: Dataset, caplog: pytest.LogCaptureFixture, drops: list[float]
) -> None:
    with_strengths(checkpoint, dataset, 30.0, fabric=launch())
    assert [record.getMessage() for record in caplog.records] == [
        images_note(0.3, len(dataset.val)),
        f"{next(iter(AUGMENTATIONS))} costs at most 10.0 points of accuracy; its strength is at the limit",
    ]


def test_errors_of_the_search_are_raised(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="below 100; got 200"):
        with_strengths(checkpoint, dataset, 200.0, fabric=launch())
    with pytest.raises(TrainingError, match="99 points"):
        with_strengths(checkpoint, dataset, 99.0, keep=tmp_path / "kept", fabric=launch())
    assert not list(tmp_path.iterdir())


def test_few_images_for_the_search_are_said() -> None:
    note = images_note(0.1, 75)
    assert (
        "searched on 75 validation images: on others an augmentation may cost 3.2 to 17 points in place of 10" in note
    )
    assert "0 to" in images_note(0.1, 15)
    assert images_note(0.1, 1000) == ""
