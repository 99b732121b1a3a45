"""A loss predictor from checkpoint to bundle to perceiver chooses the same views, with the same losses, as in torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.exporters import candidates
from allweather.exporters.calibration import CalibrationSet, corrupt_every_second
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.onnx.quantize import PERCENTILE, quantize_onnx
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.errors import BundleError
from allweather.runtimes.load import load
from allweather.runtimes.tta.aggregate import average
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec
from allweather.trainers.tta import TTAWrapper

pytestmark = pytest.mark.slow  # classifiers are trained, compiled and quantized

TUNED = Policy("learned", "all", ("identity", "hflip"), 2, weights=(3.0, 1.0))


@pytest.fixture(scope="module")
def with_predictor(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with a loss predictor of random weights, whose losses differ between images."""
    torch.manual_seed(1)
    spec = predictor_input_spec(checkpoint.input)
    model = build_predictor("tiny", spec)
    model.train()
    with torch.no_grad():
        for _ in range(30):  # statistics for BatchNorm
            model(torch.rand(32, 3, spec.height, spec.width))
    predictor = TrainedPredictor(
        "tiny", spec, tuple(VIEWS), weights_digest(checkpoint.classifier()), model.state_dict()
    )
    return dataclasses.replace(checkpoint, predictor=predictor, policies=(TUNED,))


@pytest.fixture(scope="module")
def bundle(with_predictor: Checkpoint, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "with_predictor.aw"
    export(with_predictor, dataset, out, ExportOptions(("openvino", "onnx"), ("fp32",)))
    return out


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_predictor_predicts_as_torch_does(
    engine: str, bundle: Path, with_predictor: Checkpoint, dataset: Dataset
) -> None:
    opened = Bundle.open(bundle)
    running, model = open_engine(opened, engine, role="predictor")
    assert model is not None
    assert model.role == "predictor"
    assert model.parity.accuracy is None
    assert model.parity.agreement == 1
    assert with_predictor.predictor is not None
    images = corrupt_every_second(dataset.test.images.numpy())
    reference = logits(with_predictor.predictor.model(), torch.from_numpy(images)).numpy()
    losses = np.concatenate([running.infer(image[None]) for image in images])
    running.close()
    np.testing.assert_allclose(losses, reference, atol=1e-3)


@pytest.mark.parametrize(
    ("engine", "policy"), [("openvino", "top:2+flip"), ("onnx", "top:2+flip"), ("openvino", "top:2+flip+logits")]
)
def test_the_perceiver_decides_as_torch_does(
    engine: str, policy: str, bundle: Path, with_predictor: Checkpoint, dataset: Dataset
) -> None:
    assert with_predictor.predictor is not None
    loss_predictor, classifier = with_predictor.predictor.model(), with_predictor.classifier()
    wrapper = TTAWrapper(classifier, policy, predictor=with_predictor.predictor).eval()
    with load(bundle, engine=engine, policy=policy) as perceiver:
        for image in corrupt_every_second(dataset.test.images.numpy()):
            decision = perceiver(image)
            losses = logits(loss_predictor, torch.from_numpy(image[None]))[0]
            best = [tuple(VIEWS)[int(index)] for index in losses.argsort()[:2]]
            assert decision.views[::2] == tuple(best)
            views = np.stack([view(name).apply(image) for name in decision.views])
            expected = average(logits(classifier, torch.from_numpy(views)).numpy(), (), perceiver.policy.averages)
            np.testing.assert_allclose(decision.probabilities, expected, atol=1e-3)
            with torch.no_grad():
                wrapped = wrapper(torch.from_numpy(image[None]).permute(0, 3, 1, 2))[0]
            np.testing.assert_allclose(decision.probabilities, wrapped.numpy(), atol=1e-3)
            np.testing.assert_allclose(decision.predicted_losses[::2], losses.sort().values[:2], atol=1e-3)


def test_a_bundle_runs_its_tuned_policy(bundle: Path, dataset: Dataset) -> None:
    with load(bundle) as perceiver:
        assert perceiver.policy == TUNED
        assert perceiver(dataset.test.images[0].numpy()).views == ("identity", "hflip")
    with load(bundle, policy="center") as perceiver:
        assert perceiver(dataset.test.images[0].numpy()).views == ("identity",)


def test_a_predictor_for_an_unknown_view_is_refused_by_its_name(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    contents = {name: opened.read(name) for name in opened.manifest.files}
    views = (*opened.manifest.views[:-1], "deblur")
    other: Manifest = opened.manifest.model_copy(update={"views": views})
    write_bundle(tmp_path / "other.aw", other, contents)
    with pytest.raises(BundleError, match=r"view .*deblur"):
        load(tmp_path / "other.aw", policy="top:1")
    load(tmp_path / "other.aw").close()  # without ranking it still runs
    silent = opened.manifest.model_copy(update={"predictor": None})
    with pytest.raises(BundleError, match="does not state the input of its predictor"):
        write_bundle(tmp_path / "silent.aw", silent, contents)


def test_an_int8_predictor_that_changes_the_order_of_views_is_rejected_and_fp32_kept(
    with_predictor: Checkpoint,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clip(graph: bytes, calibration: CalibrationSet) -> bytes:
        is_predictor = calibration.images.shape[1:3] == (32, 32) and b"linear.bias" not in graph
        return quantize_onnx(graph, calibration, 1 if is_predictor else PERCENTILE)

    monkeypatch.setattr(candidates, "quantize_onnx", clip)
    manifest = export(with_predictor, dataset, tmp_path / "small.aw", ExportOptions(("onnx",), ("int8",)))
    assert [(model.role, model.precision) for model in manifest.models] == [
        ("classifier", "int8"), ("predictor", "fp32")
    ]  # fmt: skip
    assert [(model.role, model.precision) for model in manifest.rejected] == [("predictor", "int8")]
    with load(tmp_path / "small.aw", policy="top:1") as perceiver:
        assert len(perceiver(dataset.test.images[0].numpy()).views) == 1


def test_every_second_image_is_corrupted() -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    same = (corrupt_every_second(images) == images).all((1, 2, 3))
    assert same[::2].all()
    assert not same[1::2].any()
