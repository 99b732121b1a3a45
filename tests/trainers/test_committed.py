"""What is committed for others to check: the predictor of the published ResNet-20, and the bundle to begin with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from allweather import load
from allweather.evaluation.model import open_model
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint import checkpoint_from_state_dict, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import load_predictor
from allweather.trainers.corruptions.sets.read import open_set
from allweather.trainers.models.registry import build_model

SAMPLES = Path(__file__).parents[2] / "samples"
BUNDLE = SAMPLES / "bundles" / "cifar10-resnet20"
PREDICTOR = SAMPLES / "checkpoints" / "predictor-published-resnet20.safetensors"
CELLS = ("gaussian_noise", "defocus_blur", "fog", "contrast", "pixelate")


def test_the_predictor_chooses_better_than_one_look(published: Path, cifar10c: Path, tmp_path: Path) -> None:
    weights, classes = published / "cifar10_resnet20.safetensors", Bundle.open(BUNDLE).classes
    trained, start = (
        load_predictor(PREDICTOR),
        checkpoint_from_state_dict(weights, "resnet20", classes, InputSpec(32, 32)),
    )
    trained.check_classifier(start.classifier())
    seeing = tmp_path / "seeing.safetensors"
    save_checkpoint(seeing, dataclasses.replace(start, predictor=trained))
    with open_model(seeing) as target:
        corrupted = open_set(cifar10c, target.classes, target.input)
        assert target.predict_losses is not None
        wrong, best = [], []
        for name in CELLS:
            images = np.concatenate([*corrupted.batches(name, 3, 500)])
            looked = [target.logits(np.stack([each.apply(image) for image in images])) for each in VIEWS.values()]
            right = np.stack(looked).argmax(2) == corrupted.labels
            chosen = target.predict_losses(images).argmin(1)
            wrong.append(1 - right[0].mean())
            best.append(1 - right[chosen, np.arange(len(images))].mean())
    assert np.mean(best) < 0.8 * np.mean(wrong)


def test_it_is_refused_beside_another_classifier() -> None:
    other = build_model("resnet20", 10, load_predictor(PREDICTOR).input)
    with pytest.raises(UsageError, match="was trained for another classifier"):
        load_predictor(PREDICTOR).check_classifier(other)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_bundle_decides_on_both_engines(cifar10c: Path, engine: str) -> None:
    images, labels = np.load(cifar10c / "clean.npy"), np.load(cifar10c / "labels.npy")
    for precision in ("fp32", "int8"):
        with load(BUNDLE, engine=engine, precision=precision) as eyes:
            assert eyes.policy.ranks
            decisions = [eyes(image) for image in images]
        right = [each.label == eyes.classes[label] for each, label in zip(decisions, labels, strict=False)]
        assert np.mean(right) > 0.85
        assert all(len(each.predicted_losses) == len(each.views) for each in decisions)


def test_the_bundle_is_small() -> None:
    manifest = Bundle.open(BUNDLE).manifest
    assert {(each.role, each.engine) for each in manifest.models} == {
        (role, engine) for role in ("classifier", "predictor") for engine in ("openvino", "onnx", "tensorrt")
    }
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) < 6e6
