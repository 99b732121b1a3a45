"""The files in samples/: the loss predictor of a published ResNet-20, and the bundle that examples begin with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from allweather import load
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.checkpoint.predictor_file import load_predictor
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.models.registry import build_model

SAMPLES = Path(__file__).parents[2] / "samples"
BUNDLE = SAMPLES / "bundles" / "cifar10-resnet20"
PREDICTOR = SAMPLES / "checkpoints" / "predictor-published-resnet20.safetensors"
CORRUPTIONS = ("gaussian_noise", "defocus_blur", "fog", "contrast", "pixelate")


@pytest.mark.slow
def test_the_view_with_the_lowest_predicted_loss_beats_the_unchanged_image(
    published: Path, cifar10c: Path, tmp_path: Path
) -> None:
    weights, classes = published / "cifar10_resnet20.safetensors", Bundle.open(BUNDLE).classes
    predictor = load_predictor(PREDICTOR)
    classifier = checkpoint_from_state_dict(weights, "resnet20", classes, InputSpec(32, 32))
    predictor.check_classifier(classifier.classifier())
    path = tmp_path / "with-predictor.safetensors"
    save_checkpoint(path, dataclasses.replace(classifier, predictor=predictor))
    with open_model(path) as model:
        corrupted = open_corrupted_set(cifar10c, model.classes, model.input)
        assert model.predict_losses is not None
        identity_errors, chosen_errors = [], []
        for name in CORRUPTIONS:
            images = np.concatenate([*corrupted.batches(name, 3, 500)])
            logits = [model.logits(np.stack([view.apply(image) for image in images])) for view in VIEWS.values()]
            correct = np.stack(logits).argmax(2) == corrupted.labels
            chosen = model.predict_losses(images).argmin(1)
            identity_errors.append(1 - correct[0].mean())
            chosen_errors.append(1 - correct[chosen, np.arange(len(images))].mean())
    assert np.mean(chosen_errors) < 0.8 * np.mean(identity_errors)


def test_the_predictor_is_refused_for_another_classifier() -> None:
    other = build_model("resnet20", 10, load_predictor(PREDICTOR).input)
    with pytest.raises(UsageError, match="was trained for another classifier"):
        load_predictor(PREDICTOR).check_classifier(other)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
@pytest.mark.slow
def test_the_bundle_decides_on_both_engines(cifar10c: Path, engine: str) -> None:
    images, labels = np.load(cifar10c / "clean.npy"), np.load(cifar10c / "labels.npy")
    for precision in ("fp32", "int8"):
        with load(BUNDLE, engine=engine, precision=precision) as perceiver:
            assert perceiver.policy.needs_predictor
            decisions = [perceiver(image) for image in images]
        correct = [
            decision.label == perceiver.classes[label] for decision, label in zip(decisions, labels, strict=False)
        ]
        assert np.mean(correct) > 0.85
        assert all(len(decision.predicted_losses) == len(decision.views) for decision in decisions)


def test_the_bundle_is_small() -> None:
    manifest = Bundle.open(BUNDLE).manifest
    assert {(each.role, each.engine) for each in manifest.models} == {
        (role, engine) for role in ("classifier", "predictor") for engine in ("openvino", "onnx", "tensorrt")
    }
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) < 6e6
