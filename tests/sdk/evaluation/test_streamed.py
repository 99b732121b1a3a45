"""Evaluations of streamed images give what those of the same images in memory give, also where one cannot be read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from jpeg_data import CLASSES, SIDE, in_both_forms, write_jpegs
from torch import Tensor, nn

from allweather import evaluation
from allweather.evaluation.augmented import example_images
from allweather.evaluation.corrupted import corrupted_evaluation, resume_key_of
from allweather.evaluation.policies import policy_evaluation
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.choices import StrengthName
from allweather.trainers.corruptions.sets import CopySettings, GeneratedSet
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import EvaluatedModel, open_model
from allweather.trainers.policies.comparison import compare_policies, parse_requested
from allweather.trainers.steps.views import tune_policy

STRENGTHS = dict.fromkeys(get_args(StrengthName), 0.6)
TEST_IMAGES = 71  # of 72, more than are decoded without another process


class Means(nn.Module):
    """Compares the means of the channels, weighted so that the left of an image counts more."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        with torch.no_grad():
            self.linear.weight.copy_(9 * torch.eye(3).flip(0))
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear((x * torch.linspace(2, 0, x.shape[3])).mean((2, 3)))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = write_jpegs(tmp_path_factory.mktemp("jpegs"), {"train": 4, "val": 24, "test": 24})
    path = root / "val" / "blue" / "000.jpg"
    path.write_bytes(path.read_bytes()[:300])
    return in_both_forms(root)


@pytest.fixture(scope="module")
def means() -> Checkpoint:
    return Checkpoint.of(Means(), CLASSES, SIDE, hflip=True, name="means")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches of an evaluation, as a large data set has."""
    for module in ("clean", "augmented", "shifted", "corrupted", "policy_outcomes"):
        monkeypatch.setattr(f"allweather.evaluation.{module}.BATCH_SIZE", 20)
    monkeypatch.setattr("allweather.trainers.policies.every_view.BATCH_SIZE", 20)


def without_times(result: object, *names: str) -> dict[str, object]:
    """The fields of a result without its provenance and what is measured with a clock."""
    assert dataclasses.is_dataclass(result)
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return {name: value for name, value in fields.items() if name not in ("provenance", "correctness", *names)}


@pytest.mark.slow
def test_clean_images(both: tuple[Dataset, Dataset], means: Checkpoint) -> None:
    expected, result = (evaluation.evaluate(means, data) for data in both)
    assert result.provenance.images == expected.provenance.images == TEST_IMAGES
    assert without_times(result, "images_per_second") == without_times(expected, "images_per_second")
    assert 0.5 < result.accuracy < 1
    assert result.images_per_second > 0


@pytest.mark.slow
def test_augmented_and_shifted_images(both: tuple[Dataset, Dataset], means: Checkpoint) -> None:
    for expected, result in (
        [evaluation.evaluate_augmented(means, data, STRENGTHS) for data in both],
        [evaluation.evaluate_shifted(means, data) for data in both],
    ):
        assert without_times(result) == without_times(expected)
    of_memory, of_streamed = (example_images(data.readable(), STRENGTHS) for data in both)
    for name, images in of_memory.items():
        assert np.array_equal(np.stack(of_streamed[name]), np.stack(images))


@pytest.mark.slow
def test_corrupted_images(both: tuple[Dataset, Dataset], means: Checkpoint) -> None:
    with open_model(means) as model:
        (expected, images), (result, others) = (
            corrupted_evaluation(model, data, GeneratedSet(data.test, 7, ("contrast", "saturate")))
            for data in (both[0], both[1].readable())
        )
    assert result.mistakes
    assert without_times(result) == without_times(expected)
    assert all(np.array_equal(others[name], image) for name, image in images.items())


@pytest.mark.slow
def test_a_corrupted_set_of_all_kinds_leaves_the_damaged_image_out(
    both: tuple[Dataset, Dataset], means: Checkpoint
) -> None:
    few = torch.tensor([1, 30, 50])  # the last one is damaged
    data = dataclasses.replace(both[1], test=both[1].test.take(few))
    result = evaluation.evaluate_corrupted(means, data)
    assert (result.provenance.images, len(result.cells)) == (2, 95)


@pytest.mark.slow
def test_policies(both: tuple[Dataset, Dataset], means: Checkpoint) -> None:
    names = ("seconds", "results")
    policies = [parse_policy(text) for text in ("hflip", "random:2", "top:1")]
    with open_model(means) as opened:
        model = dataclasses.replace(opened, predict_losses=predicted_losses)
        (expected, images), (result, others) = (
            policy_evaluation(model, data, GeneratedSet(data.test, 7, ("contrast", "fog")), policies)
            for data in (both[0], both[1].readable())
        )
    assert without_times(result, *names) == without_times(expected, *names)
    untimed = {"latency_ratio": None, "corrupted_latency_ratio": None}
    assert [dataclasses.replace(each, **untimed) for each in result.results] == [
        dataclasses.replace(each, **untimed) for each in expected.results
    ]
    assert len(images) == len(result.changed_predictions) > 0
    assert all(np.array_equal(*pair) for pair in zip(images, others, strict=True))


def predicted_losses(images: Image) -> Floats:
    """Ranks the views in a random order that depends on the image."""
    seeds = images.reshape(len(images), -1).sum(1, dtype=np.int64)
    return np.stack([np.random.default_rng(int(seed)).random(len(VIEWS)) for seed in seeds]).astype(np.float32)


@pytest.mark.slow
def test_tuned_policies(both: tuple[Dataset, Dataset], means: Checkpoint) -> None:
    compared = []
    with open_model(means) as model:
        for data in both:
            requested = parse_requested(("center", "hflip", "gps:2", "learned"), model, hflip=True)
            settings = CopySettings(copies=2, seed=3)
            compared.append(compare_policies(model, data.val, requested, hflip=True, copy_settings=settings))
    expected, result = compared
    assert result.selection.images == TEST_IMAGES
    assert result.policies == expected.policies
    for one, other in zip(expected.results, result.results, strict=True):
        assert without_times(other, "image_accuracy") == without_times(one, "image_accuracy")
        assert np.array_equal(other.image_accuracy, one.image_accuracy)
    tuned = [tune_policy(means, data, ["center", "gps:1"]).policies for data in both]
    assert tuned[0] == tuned[1]


def test_the_resume_key_of_streamed_images_changes_with_their_files(tmp_path: Path) -> None:
    root = write_jpegs(tmp_path / "data", {"train": 3, "val": 3, "test": 4}, damaged="train")
    model = EvaluatedModel(root, "numpy", CLASSES, InputSpec(SIDE, SIDE), lambda images: images[:, 0, 0] / 1.0, "0")
    keys = [resume_key_of(model, None, in_both_forms(root)[1]) for _ in range(2)]
    assert keys[0] == keys[1]
    os.utime(root / "test" / "red" / "003.jpg", (1, 1))
    assert resume_key_of(model, None, in_both_forms(root)[1]) != keys[0]
