"""A loss predictor goes all the way: checkpoint, bundle, perceiver; the same views and answers as in torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.exporters import candidates
from allweather.exporters.calibration import CalibrationSet, corrupt_every_second
from allweather.exporters.export import ExportOptions, export
from allweather.exporters.onnx.quantize import PERCENTILE, quantize_onnx
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.errors import BundleError
from allweather.runtimes.load import load
from allweather.runtimes.tta.aggregate import average_probabilities
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.inference import logits

TUNED = Policy("learned", "all", ("identity", "hflip"), 2, weights=(3.0, 1.0))


@pytest.fixture(scope="module")
def seeing(checkpoint: Checkpoint) -> Checkpoint:
    """With a predictor of random weights, whose losses differ from picture to picture."""
    torch.manual_seed(1)
    seen = predictor_input_spec(checkpoint.input)
    model = build_predictor("tiny", seen)
    model.train()
    with torch.no_grad():
        for _ in range(30):  # statistics for BatchNorm
            model(torch.rand(32, 3, seen.height, seen.width))
    predictor = TrainedPredictor(
        "tiny", seen, tuple(VIEWS), weights_digest(checkpoint.classifier()), model.state_dict()
    )
    return dataclasses.replace(checkpoint, predictor=predictor, policies=(TUNED,))


@pytest.fixture(scope="module")
def bundle(seeing: Checkpoint, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("seeing") / "seeing.aw"
    export(seeing, dataset, out, ExportOptions(("openvino", "onnx"), ("fp32",)))
    return out


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_predictor_answers_as_torch_does(engine: str, bundle: Path, seeing: Checkpoint, dataset: Dataset) -> None:
    opened = Bundle.open(bundle)
    running, model = open_engine(opened, engine, role="predictor")
    assert model is not None
    assert model.role == "predictor"
    assert model.parity.accuracy is None
    assert model.parity.agreement == 1
    assert seeing.predictor is not None
    images = corrupt_every_second(dataset.test.images.numpy())
    wanted = logits(seeing.predictor.model(), torch.from_numpy(images)).numpy()
    got = np.concatenate([running.infer(image[None]) for image in images])
    running.close()
    np.testing.assert_allclose(got, wanted, atol=1e-3)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_perceiver_decides_as_torch_does(engine: str, bundle: Path, seeing: Checkpoint, dataset: Dataset) -> None:
    assert seeing.predictor is not None
    loss_predictor, classifier = seeing.predictor.model(), seeing.classifier()
    with load(bundle, engine=engine, policy="top:2+flip") as eyes:
        for image in corrupt_every_second(dataset.test.images.numpy()):
            decision = eyes(image)
            losses = logits(loss_predictor, torch.from_numpy(image[None]))[0]
            best = [tuple(VIEWS)[int(place)] for place in losses.argsort()[:2]]
            assert decision.views[::2] == tuple(best)
            looks = np.stack([view(name).apply(image) for name in decision.views])
            wanted = average_probabilities(logits(classifier, torch.from_numpy(looks)).numpy())
            np.testing.assert_allclose(decision.probabilities, wanted, atol=1e-3)
            np.testing.assert_allclose(decision.predicted_losses[::2], losses.sort().values[:2], atol=1e-3)


def test_the_tuned_policy_is_what_a_bundle_does(bundle: Path, dataset: Dataset) -> None:
    with load(bundle) as eyes:
        assert eyes.policy == TUNED
        assert eyes(dataset.test.images[0].numpy()).views == ("identity", "hflip")
    with load(bundle, policy="center") as eyes:
        assert eyes(dataset.test.images[0].numpy()).views == ("identity",)


def test_a_predictor_of_another_view_list_is_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    contents = {name: opened.read(name) for name in opened.manifest.files}
    views = (*opened.manifest.views[:-1], "deblur")
    other: Manifest = opened.manifest.model_copy(update={"views": views})
    write_bundle(tmp_path / "other.aw", other, contents)
    with pytest.raises(BundleError, match=r"ranks other views than this allweather has \(deblur\)"):
        load(tmp_path / "other.aw", policy="top:1")
    load(tmp_path / "other.aw").close()  # without ranking it still runs
    silent = opened.manifest.model_copy(update={"predictor": None})
    with pytest.raises(BundleError, match="does not say what its predictor takes"):
        write_bundle(tmp_path / "silent.aw", silent, contents)


def test_an_int8_predictor_that_loses_its_order_leaves_the_fp32_one(
    seeing: Checkpoint,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clip(graph: bytes, calibration: CalibrationSet) -> bytes:
        predicts = calibration.images.shape[1:3] == (32, 32) and b"linear.bias" not in graph
        return quantize_onnx(graph, calibration, 1 if predicts else PERCENTILE)

    monkeypatch.setattr(candidates, "quantize_onnx", clip)
    manifest = export(seeing, dataset, tmp_path / "small.aw", ExportOptions(("onnx",), ("int8",)))
    assert [(model.role, model.precision) for model in manifest.models] == [
        ("classifier", "int8"), ("predictor", "fp32")
    ]  # fmt: skip
    assert [(left.role, left.precision) for left in manifest.rejected] == [("predictor", "int8")]
    with load(tmp_path / "small.aw", policy="top:1") as eyes:
        assert len(eyes(dataset.test.images[0].numpy()).views) == 1


def test_every_second_picture_is_corrupted() -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    same = (corrupt_every_second(images) == images).all((1, 2, 3))
    assert same[::2].all()
    assert not same[1::2].any()
