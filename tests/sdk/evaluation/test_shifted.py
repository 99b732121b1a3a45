from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.evaluation.model import open_model
from allweather.evaluation.shifted import SETS, clusters, evaluate_shifted, frozen
from allweather.runtimes.errors import UsageError
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset


@pytest.fixture(scope="module")
def saved(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transfer") / "c.safetensors"
    save_checkpoint(path, checkpoint)
    return path


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_same_at_every_call_and_as_a_camera_gives_it(dataset: Dataset, name: str) -> None:
    images = frozen(dataset.test, name)
    assert images.dtype == np.uint8
    assert images.shape == tuple(dataset.test.images.shape)
    np.testing.assert_array_equal(images, frozen(dataset.test, name))
    assert np.array_equal(images, dataset.test.images.numpy()) == (name == "original")
    assert (np.ptp(images.astype(int), axis=3) == 0).all() == (name == "grayscale")


def test_features_are_what_the_last_layer_takes(saved: Path, dataset: Dataset) -> None:
    images = dataset.test.images.numpy()
    with open_model(saved) as target:
        assert target.features is not None
        features = torch.from_numpy(target.features(images))
        model = load_checkpoint(saved).classifier().eval()
        again = model.network.linear(features).detach().numpy()
        np.testing.assert_allclose(again, target.logits(images), atol=1e-4)


def test_what_changes_nothing_varies_nothing(saved: Path, dataset: Dataset) -> None:
    gray = dataset.test.images.float().mean(3, keepdim=True).round().to(torch.uint8).expand_as(dataset.test.images)
    flat = gray.float().mean((1, 2), keepdim=True).to(torch.uint8).expand_as(gray).contiguous()
    still = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, images=flat))
    with open_model(saved) as target:
        found = evaluate_shifted(target, still)
        moved = evaluate_shifted(target, dataset)
    for values in (found.divergences, found.distances):
        assert values["original, random crop"] == pytest.approx(0, abs=1e-5)
        assert values["original, grayscale"] == pytest.approx(0, abs=1e-5)
    assert found.accuracies["original"] == found.accuracies["grayscale"] == found.accuracies["random crop"]
    assert set(moved.divergences) == {f"{one}, {other}" for one, other in combinations(SETS, 2)}
    assert all(value > 0 for value in (*moved.divergences.values(), *moved.distances.values()))
    assert moved.accuracies["original"] > moved.accuracies["grayscale"]  # the classes are colors


def test_a_bundle_tells_no_features(exported: tuple[Path, object], dataset: Dataset) -> None:
    with open_model(exported[0], engine="onnx", precision="fp32") as target:
        assert evaluate_shifted(target, dataset).distances == {}
        with pytest.raises(UsageError, match="is a bundle and does not tell its features"):
            clusters(target, dataset)


def test_variants_of_a_picture_lie_together(saved: Path, dataset: Dataset) -> None:
    with open_model(saved) as target:
        placed = clusters(target, dataset)
        np.testing.assert_array_equal(placed, clusters(target, dataset))
    assert placed.shape == (14, 16, 2)
    within = np.linalg.norm(placed - placed.mean(1, keepdims=True), axis=2).mean()
    across = np.linalg.norm(placed.mean(1) - placed.mean((0, 1)), axis=1).mean()
    assert within < across


def test_too_few_pictures_are_told(saved: Path, dataset: Dataset) -> None:
    few = dataclasses.replace(dataset, test=dataset.test.take(torch.arange(5)))
    with open_model(saved) as target, pytest.raises(UsageError, match="14 test pictures are needed"):
        clusters(target, few)
