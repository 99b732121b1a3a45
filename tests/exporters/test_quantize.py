"""INT8: where the Q/DQ pairs go, and that accuracy control returns layers to float."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from allweather.exporters.calibration import CalibrationSet, calibration_set, corrupt_all
from allweather.exporters.lint.lint import lint
from allweather.exporters.onnx.convert import to_onnx
from allweather.exporters.onnx.quantize import quantize_onnx
from allweather.exporters.openvino.convert import read_onnx, serialize
from allweather.exporters.openvino.quantize import quantize_openvino, quantize_with_accuracy
from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.open import infer_all
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.registry import build_model

pytestmark = pytest.mark.slow  # classifiers are trained, compiled and quantized

SPEC = InputSpec(32, 32)


def random_set(count: int) -> CalibrationSet:
    images: Image = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return CalibrationSet(images, Calibration(data="random", split="none", images=count, seed=0))


@pytest.mark.parametrize(("arch", "floats"), [("resnet18", 2), ("vgg16", 4), ("mobilenetv2", 2)])
def test_the_linter_finds_nothing_in_what_we_quantize(arch: str, floats: int) -> None:
    torch.manual_seed(0)
    report = lint(
        onnx.load_from_string(quantize_onnx(to_onnx(build_model(arch, 10, SPEC).eval(), SPEC), random_set(4)))
    )
    assert report.findings == ()
    assert len(report.float_layers) == floats  # the first Conv and each Gemm


def test_weights_and_activations_keep_their_values_up_to_a_step(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """If no value is clipped, the logits differ from those of fp32 by rounding only."""
    images = dataset.val.images.numpy()
    graph = to_onnx(checkpoint.classifier(), SPEC)
    unclipped = quantize_onnx(graph, CalibrationSet(images, random_set(1).provenance), 100)
    outputs = infer_all(OnnxEngine(CompiledModel(unclipped, b"", "int8", SPEC, 3), literally=True), images)
    reference = logits(checkpoint.classifier(), dataset.val.images).numpy()
    assert np.abs(outputs - reference).mean() < 0.1 * np.ptp(reference)
    assert (outputs.argmax(1) == reference.argmax(1)).mean() >= 0.9


def test_openvino_clips_no_image_that_is_brighter_than_the_average_one(
    checkpoint: Checkpoint, dataset: Dataset
) -> None:
    """In snow and fog, images are bright and have little contrast."""
    images = (0.25 * dataset.val.images.numpy() + 190).astype(np.uint8)
    calibration = calibration_set(dataset)
    dark = CalibrationSet((0.6 * calibration.images).astype(np.uint8), calibration.provenance)
    dark.images[0, 0, 0] = 255  # one image has a highlight
    model = read_onnx(to_onnx(checkpoint.classifier(), checkpoint.input))
    engine = start_engine("openvino", CompiledModel(*serialize(quantize_openvino(model, dark)), "int8", SPEC, 3))
    reference = logits(checkpoint.classifier(), torch.from_numpy(images)).numpy()
    outputs = infer_all(engine, images)
    assert (outputs.argmax(1) == reference.argmax(1)).mean() > 0.9  # 0 with the ranges that NNCF takes by default
    assert np.abs(outputs - reference).mean() < 0.2 * np.ptp(reference)


def test_a_network_without_a_wide_convolution_has_no_int8_model() -> None:
    narrow = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)).eval()
    with pytest.raises(EngineError, match=r"no convolution .* input channels for INT8"):
        quantize_onnx(to_onnx(narrow, SPEC), random_set(2))


def test_accuracy_control_returns_layers_to_float(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """With no drop allowed, INT8 is as accurate as fp32, if need be with layers in float."""
    clean = dataset.val.images.numpy()
    images = np.concatenate([clean, corrupt_all(clean)])
    labels = np.tile(dataset.val.labels.numpy(), 2)
    model = read_onnx(to_onnx(checkpoint.classifier(), checkpoint.input))
    quantized = {
        drop: serialize(quantize_with_accuracy(model, calibration_set(dataset), images, labels, drop))
        for drop in (1.0, 0.0)
    }
    pairs = {drop: graph.count(b'type="FakeQuantize"') for drop, (graph, _) in quantized.items()}
    assert pairs[1.0] >= pairs[0.0]
    reference = logits(checkpoint.classifier(), torch.from_numpy(images)).numpy().argmax(1)
    engine = start_engine("openvino", CompiledModel(*quantized[0.0], "int8", SPEC, 3))
    predictions = infer_all(engine, images).argmax(1)
    assert (predictions == labels).mean() >= (reference == labels).mean()
