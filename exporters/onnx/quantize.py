"""INT8 for TensorRT and ONNX Runtime: symmetric quantization with Q/DQ pairs where TensorRT fuses layers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.onnx.convert import INPUT
from allweather.exporters.onnx.qdq_placement import QdqPlacement, choose_placement, insert_pairs
from allweather.runtimes.engines.onnx import SEVERITY_ERROR
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.types import Floats, Image

with isolated_imports():
    import onnxruntime

PERCENTILE = 99.99  # this percentile of the absolute values becomes 127; docs/results/int8.md compares others
BATCH_SIZE = 8  # images whose activations are in memory at once: 0.4 GB for a ResNet-50 at 224 px
MIN_OPSET = 13  # the first in which a DequantizeLinear has one scale per channel
SAMPLES_PER_IMAGE = 4096  # values drawn from each activation: with 512 images, 200 of them are above the percentile


def quantize_onnx(graph: bytes, calibration: CalibrationSet, percentile: float = PERCENTILE) -> bytes:
    """Quantizes weights and activations to INT8, written as Q/DQ pairs whose zero points are all 0.

    Args:
        graph: Content of an .onnx file made by `to_onnx`, or with the same input and output.
        calibration: Images that set the ranges of the activations.
        percentile: Percentile of an activation's absolute values that becomes 127, in 0..100; larger values are
            clipped.

    Raises:
        EngineError: The graph has no convolution that can be quantized, or cannot be converted to opset 13.
    """
    model = _with_opset(onnx.load_from_string(graph), MIN_OPSET)
    placement = choose_placement(model)
    if not placement.activations:
        raise EngineError(
            "no convolution of this model has enough input channels for INT8 with Q/DQ; export it in other precisions, "
            "or for openvino alone"
        )
    quantized = insert_pairs(model, placement, _max_abs(model, placement, calibration.images, percentile))
    onnx.checker.check_model(quantized, full_check=True)
    content: bytes = quantized.SerializeToString()
    return content


def _with_opset(model: onnx.ModelProto, minimum: int) -> onnx.ModelProto:
    """Returns the model in an opset of at least `minimum`."""
    if max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx")) >= minimum:
        return model
    try:
        return onnx.version_converter.convert_version(model, minimum)
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"INT8 needs opset {minimum}, to which the graph cannot be converted ({first_line(error)}); "
            "export it again with opset 18"
        ) from error


def _max_abs(model: onnx.ModelProto, placement: QdqPlacement, images: Image, percentile: float) -> dict[str, float]:
    """Returns for each activation the percentile of its absolute values, from a random sample of its values."""
    rng, names = np.random.default_rng(0), list(placement.activations)
    samples: dict[str, list[Floats]] = {name: [] for name in names}
    session = _activation_session(model, names)
    for start in range(0, len(images), BATCH_SIZE):
        for name, values in zip(names, session.run(names, {INPUT: images[start : start + BATCH_SIZE]}), strict=True):
            flat = values.reshape(-1)
            count = min(flat.size, SAMPLES_PER_IMAGE * len(values))
            samples[name].append(np.abs(flat[rng.integers(0, flat.size, count)]))
    tiny = float(np.finfo(np.float32).tiny)
    return {name: max(float(np.percentile(np.concatenate(parts), percentile)), tiny) for name, parts in samples.items()}


def _activation_session(model: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    """Returns a session whose outputs are the named activations."""
    with_activations = onnx.ModelProto()
    with_activations.CopyFrom(model)
    del with_activations.graph.output[:]
    with_activations.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SEVERITY_ERROR
    return onnxruntime.InferenceSession(
        with_activations.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
