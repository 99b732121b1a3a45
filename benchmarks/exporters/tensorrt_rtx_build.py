"""Builds engines with TensorRT for RTX, and checks the precision in which each layer runs.

    python benchmarks/exporters/tensorrt_rtx_build.py [ARCH [SIZE]]

It needs `pip install tensorrt-rtx==1.7.1.116`, but no GPU and no driver, because it compiles for a card that the
machine need not have. In the INT8 graph of the exporter exactly the quantized layers must run in Int8, and in its FP16
graph all layers must run in Half. The rivals are four faulty graphs, two of them from ONNX Runtime's `quantize_static`.
In the one that lacks the Q/DQ pair of a weight, this layer alone must no longer run in Int8; the others must be refused
with an error that names a node. Weights and images are random, because the precision of a layer does not depend on
them.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.onnx.convert import INPUT, to_onnx
from allweather.exporters.onnx.quantize import quantize_onnx
from allweather.exporters.tensorrt.build import BuildConfig, build
from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.trainers.models.registry import build_model

with isolated_imports():
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

LAYER = re.compile(r"^Name: (\S+?)_myl\d+_\d+, LayerType: (?:correlation|gemm), Inputs: \[ .*?Datatype: (\w+)")
ARCHITECTURE = "8.6"  # an RTX 3060


class RandomImages(CalibrationDataReader):
    """Two random calibration images for ONNX Runtime."""

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        self._remaining = iter([{INPUT: rng.integers(0, 256, (1, size, size, 3), np.uint8)} for _ in range(2)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next image; None after the last."""
        return next(self._remaining, None)


def ort_quantized(fp32: Path, size: int, form: QuantFormat = QuantFormat.QDQ, *, bias: bool = False) -> onnx.ModelProto:
    """Quantizes by ONNX Runtime in a way that TensorRT refuses: as QOperator nodes, or with a quantized bias."""
    op_types = sorted({node.op_type for node in onnx.load(fp32).graph.node})
    extra = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "AddQDQPairToWeight": not bias,
        "QuantizeBias": bias,
        "DedicatedQDQPair": False,
        "OpTypesToExcludeOutputQuantization": op_types,  # or Conv, Add and ReLU could not be fused
    }
    out = fp32.with_name("quantized.onnx")
    quantize_static(
        fp32, out, RandomImages(size), quant_format=form, op_types_to_quantize=["Conv", "Gemm"], per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, extra_options=extra,
    )  # fmt: skip
    return onnx.load(out)


def without_weight_pair(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Returns the model with one Conv in the middle whose weights are in float, and the name of that Conv."""
    faulty = onnx.ModelProto.FromString(model.SerializeToString())
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in faulty.graph.initializer}
    producers = {output: node for node in faulty.graph.node for output in node.output}
    convs = [node for node in faulty.graph.node if node.op_type == "Conv"]
    conv = convs[len(convs) // 2]
    values, scale = (weights[name] for name in producers[conv.input[1]].input[:2])
    in_float = values * scale.reshape(-1, 1, 1, 1)
    faulty.graph.initializer.append(onnx.numpy_helper.from_array(in_float.astype(np.float32), "float_weight"))
    conv.input[1] = "float_weight"
    return faulty, conv.name


def quantized_layers(model: onnx.ModelProto) -> set[str]:
    """Returns the names of the Conv and Gemm whose input and weight both come from a Q/DQ pair."""
    dequantized = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return {node.name for node in layers if set(node.input[:2]) <= dequantized}


def random_calibration_set(size: int) -> CalibrationSet:
    """Returns eight random images."""
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    return CalibrationSet(images, Calibration(data="random", split="none", images=8, seed=0))


def with_zero_point(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with a zero point of 3 at one activation."""
    faulty = onnx.ModelProto.FromString(model.SerializeToString())
    weights = {tensor.name: tensor for tensor in faulty.graph.initializer}
    point = next(
        weights[node.input[2]]
        for node in faulty.graph.node
        if node.op_type == "QuantizeLinear" and not weights[node.input[2]].dims
    )
    point.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), point.name))
    return faulty


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Yields a list that collects the library's log lines."""
    lines: list[str] = []

    class Collector(logging.Handler):
        """Appends each log line to the list."""

        def emit(self, record: logging.LogRecord) -> None:
            """Appends one line."""
            lines.append(record.getMessage())

    log, collector = logging.getLogger("allweather"), Collector()
    log.addHandler(collector)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield lines
    finally:
        log.removeHandler(collector)
        log.setLevel(logging.NOTSET)


def layer_types(library: Library, model: onnx.ModelProto) -> dict[str, str]:
    """Builds a model; returns the input type of every Conv and Gemm in the engine, by name."""
    with captured_log() as lines:
        build(library, BuildConfig(model.SerializeToString(), "int8", 12, ARCHITECTURE))
    return {match[1]: match[2] for line in lines if (match := LAYER.match(line))}


def refusal(library: Library, model: onnx.ModelProto) -> str:
    """Returns the error message of a graph that cannot be built; "" if it can, or if the message names no node."""
    try:
        build(library, BuildConfig(model.SerializeToString(), "int8", 12, ARCHITECTURE))
    except EngineError as error:
        named = re.search(r"refuses the node (\S+) ", str(error))
        return str(error) if named and named[1] in {node.name for node in model.graph.node} else ""
    return ""


def main() -> int:
    """Builds all graphs and prints the results; returns 1 if one is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", nargs="?", default="resnet50", metavar="ARCH")
    parser.add_argument("size", nargs="?", type=int, default=224, metavar="SIZE", help="side in pixels of the images")
    args = parser.parse_args()
    arch, side = args.arch, args.size
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)  # silences ONNX Runtime's advice to fold BatchNorm, which is folded
    library = open_library("tensorrt_rtx")
    torch.manual_seed(0)
    spec = InputSpec(side, side)
    with tempfile.TemporaryDirectory() as folder:
        fp32 = Path(folder, "fp32.onnx")
        network = build_model(arch, 10, spec)
        fp32.write_bytes(to_onnx(network, spec))
        int8 = onnx.load_from_string(quantize_onnx(fp32.read_bytes(), random_calibration_set(side)))
        fp16 = onnx.load_from_string(to_onnx(network, spec, torch.float16))
        with_quantized_bias = ort_quantized(fp32, side, bias=True)
        with_qoperators = ort_quantized(fp32, side, QuantFormat.QOperator)
    expected = quantized_layers(int8)
    layers = {node.name for node in int8.graph.node if node.op_type in ("Conv", "Gemm")}
    started = time.perf_counter()
    built = layer_types(library, int8)
    seconds = time.perf_counter() - started
    in_int8 = {name for name, kind in built.items() if kind == "Int8"}
    print(
        f"tensorrt_rtx {library.version}, {arch} at {side} px: built in {seconds:.1f} s, {len(in_int8)} layers in Int8"
    )
    print(f"expected in Int8: {len(expected)} of {len(layers)}; expected in float: {sorted(layers - expected)}")
    in_fp16 = layer_types(library, fp16)
    print(f"FP16 graph: {sum(kind == 'Half' for kind in in_fp16.values())} of {len(in_fp16)} layers in Half")
    faulty, name = without_weight_pair(int8)
    lost = in_int8 - {layer for layer, kind in layer_types(library, faulty).items() if kind == "Int8"}
    print(f"without the Q/DQ pair on the weights of {name}: no longer in Int8: {sorted(lost)}")
    refused = {"int32 bias": with_quantized_bias, "zero point 3": with_zero_point(int8), "QOperator": with_qoperators}
    messages = {fault: refusal(library, model) for fault, model in refused.items()}
    for fault, message in messages.items():
        print(f"{fault}: {message or 'NOT REFUSED BY NAME'}")
    fp16_correct = set(in_fp16.values()) == {"Half"}
    passed = in_int8 == expected and lost == {name} and fp16_correct and all(messages.values())
    print("all as expected" if passed else "NOT as expected")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
