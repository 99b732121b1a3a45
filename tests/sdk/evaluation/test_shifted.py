from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.evaluation.shifted import TEST_SETS, embed_variants, shifted_evaluation, shifted_images
from allweather.runtimes.errors import UsageError
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import open_model


@pytest.fixture(scope="module")
def saved(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shifted") / "c.safetensors"
    save_checkpoint(path, checkpoint)
    return path


@pytest.mark.parametrize("name", TEST_SETS)
def test_a_test_set_is_the_same_at_every_call_and_rounded_to_8_bits(dataset: Dataset, name: str) -> None:
    images = np.concatenate(list(shifted_images(dataset.test, name)))
    assert images.dtype == np.uint8
    assert images.shape == tuple(dataset.test.images.shape)
    np.testing.assert_array_equal(images, np.concatenate(list(shifted_images(dataset.test, name))))
    assert np.array_equal(images, dataset.test.images.numpy()) == (name == "original")
    assert (np.ptp(images.astype(int), axis=3) == 0).all() == (name == "grayscale")


@pytest.mark.slow
def test_features_are_the_inputs_of_the_last_layer(saved: Path, dataset: Dataset) -> None:
    images = dataset.test.images.numpy()
    with open_model(saved) as evaluated:
        assert evaluated.features is not None
        features = torch.from_numpy(evaluated.features(images))
        model = load_checkpoint(saved).classifier().eval()
        logits = model.network.linear(features).detach().numpy()
        np.testing.assert_allclose(logits, evaluated.logits(images), atol=1e-4)


@pytest.mark.slow
def test_images_that_do_not_change_have_no_divergence(saved: Path, dataset: Dataset) -> None:
    gray = dataset.test.images.float().mean(3, keepdim=True).round().to(torch.uint8).expand_as(dataset.test.images)
    flat = gray.float().mean((1, 2), keepdim=True).to(torch.uint8).expand_as(gray).contiguous()
    flat_dataset = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, images=flat))
    with open_model(saved) as evaluated:
        unchanged = shifted_evaluation(evaluated, flat_dataset)
        changed = shifted_evaluation(evaluated, dataset)
    for values in (unchanged.divergences, unchanged.distances):
        assert values["original, random crop"] == pytest.approx(0, abs=1e-5)
        assert values["original, grayscale"] == pytest.approx(0, abs=1e-5)
    assert unchanged.accuracies["original"] == unchanged.accuracies["grayscale"] == unchanged.accuracies["random crop"]
    assert set(changed.divergences) == {f"{one}, {other}" for one, other in combinations(TEST_SETS, 2)}
    assert all(value > 0 for value in (*changed.divergences.values(), *changed.distances.values()))
    assert changed.accuracies["original"] > changed.accuracies["grayscale"]  # the classes are colors


@pytest.mark.slow
def test_a_bundle_gives_no_features(exported: tuple[Path, object], dataset: Dataset) -> None:
    with open_model(exported[0], engine="onnx", precision="fp32") as evaluated:
        assert shifted_evaluation(evaluated, dataset).distances == {}
        with pytest.raises(UsageError, match=r"is a bundle.* features.* checkpoint"):
            embed_variants(evaluated, dataset)


@pytest.mark.slow
def test_variants_of_an_image_lie_together(saved: Path, dataset: Dataset) -> None:
    with open_model(saved) as evaluated:
        points = embed_variants(evaluated, dataset)
        np.testing.assert_array_equal(points, embed_variants(evaluated, dataset))
    assert points.shape == (14, 16, 2)
    within = np.linalg.norm(points - points.mean(1, keepdims=True), axis=2).mean()
    across = np.linalg.norm(points.mean(1) - points.mean((0, 1)), axis=1).mean()
    assert within < across


@pytest.mark.slow
def test_too_few_images_are_refused(saved: Path, dataset: Dataset) -> None:
    few = dataclasses.replace(dataset, test=dataset.test.take(torch.arange(5)))
    with open_model(saved) as evaluated, pytest.raises(UsageError, match=r"14 test images are needed.* has 5"):
        embed_variants(evaluated, few)
