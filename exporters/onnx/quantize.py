"""INT8 for TensorRT and ONNX Runtime: symmetric, explicit, with the pairs where TensorRT fuses around them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.onnx.convert import INPUT
from allweather.exporters.onnx.qdq_placement import Placement, insert, place
from allweather.runtimes.engines.onnx import SEVERITY_ERROR
from allweather.runtimes.errors import EngineError
from allweather.runtimes.types import Floats, Image

PERCENTILE = 99.99  # of absolute values becomes 127; compared with others in docs/results/int8.md
BATCH = 8  # pictures whose activations are in memory together: 0.4 GB of a ResNet-50 at 224 px
VALUES = 4096  # drawn from each activation of each picture: of 512 pictures, 200 lie above the percentile


def quantize_onnx(graph: bytes, calibration: CalibrationSet, percentile: float = PERCENTILE) -> bytes:
    """INT8 weights and activations as QuantizeLinear / DequantizeLinear pairs, all zero points 0.

    Args:
        graph: made by `to_onnx`.
        calibration: pictures that set the ranges of activations.
        percentile: of an activation's absolute values that becomes 127; what is above is clipped. 0..100.

    Raises:
        EngineError: there is nothing in it to quantize.
    """
    model = onnx.load_from_string(graph)
    placement = place(model)
    if not placement.activations:
        raise EngineError("no convolution of this network is wide enough for INT8; export it in other precisions")
    quantized = insert(model, placement, _largest(model, placement, calibration.images, percentile))
    onnx.checker.check_model(quantized, full_check=True)
    content: bytes = quantized.SerializeToString()
    return content


def _largest(model: onnx.ModelProto, placement: Placement, images: Image, percentile: float) -> dict[str, float]:
    """For each activation the percentile of its absolute values, by a sample of each picture's."""
    rng, names = np.random.default_rng(0), list(placement.activations)
    drawn: dict[str, list[Floats]] = {name: [] for name in names}
    session = _telling(model, names)
    for start in range(0, len(images), BATCH):
        for name, values in zip(names, session.run(names, {INPUT: images[start : start + BATCH]}), strict=True):
            flat = values.reshape(-1)
            drawn[name].append(np.abs(flat[rng.integers(0, flat.size, min(flat.size, VALUES * len(values)))]))
    tiny = float(np.finfo(np.float32).tiny)
    return {name: max(float(np.percentile(np.concatenate(parts), percentile)), tiny) for name, parts in drawn.items()}


def _telling(model: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    """The network with its activations as outputs."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SEVERITY_ERROR
    return onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
