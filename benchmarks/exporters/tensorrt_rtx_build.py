"""Builds INT8 engines with TensorRT for RTX, and reads what became of each layer: tensorrt_rtx_build.py [ARCH SIZE].

Needs `pip install tensorrt-rtx==1.7.1.116`, but no GPU and no driver: it compiles for a card that is not there. What
the exporter quantized must come out with just those Conv in Int8 that are meant to be, and its FP16 graph in Half; four
wrong ones must show or be refused, by name. Weights are random, as are the pictures: the layers' arithmetic does not
depend on them.
"""

from __future__ import annotations

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
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.onnx.convert import INPUT, to_onnx
from allweather.exporters.onnx.quantize import quantize_onnx
from allweather.exporters.tensorrt.build import BuildConfig, build
from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.registry import build_model

LAYER = re.compile(r"^Name: (\S+?)_myl\d+_\d+, LayerType: (?:correlation|gemm), Inputs: \[ .*?Datatype: (\w+)")
ARCHITECTURE = "8.6"  # an RTX 3060


class Pictures(CalibrationDataReader):
    """Two random ones."""

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        self._left = iter([{INPUT: rng.integers(0, 256, (1, size, size, 3), np.uint8)} for _ in range(2)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """One of them; None after the last."""
        return next(self._left, None)


def quantized(plain: Path, size: int, form: QuantFormat = QuantFormat.QDQ, *, bias: bool = False) -> onnx.ModelProto:
    """Another's INT8, to be refused: as QOperator nodes, or with its bias in INT8 as well."""
    every = sorted({node.op_type for node in onnx.load(plain).graph.node})
    extra = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "AddQDQPairToWeight": not bias,
        "QuantizeBias": bias,
        "DedicatedQDQPair": False,
        "OpTypesToExcludeOutputQuantization": every,  # or Conv, Add and ReLU could not be fused
    }
    out = plain.with_name("quantized.onnx")
    quantize_static(
        plain, out, Pictures(size), quant_format=form, op_types_to_quantize=["Conv", "Gemm"], per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, extra_options=extra,
    )  # fmt: skip
    return onnx.load(out)


def without_weight_pair(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """One Conv in the middle takes weights in float; returns its name, too."""
    broken = onnx.ModelProto.FromString(model.SerializeToString())
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in broken.graph.initializer}
    maker = {output: node for node in broken.graph.node for output in node.output}
    convs = [node for node in broken.graph.node if node.op_type == "Conv"]
    conv = convs[len(convs) // 2]
    values, scale = (weights[name] for name in maker[conv.input[1]].input[:2])
    plain = values * scale.reshape(-1, 1, 1, 1)
    broken.graph.initializer.append(onnx.numpy_helper.from_array(plain.astype(np.float32), "plain"))
    conv.input[1] = "plain"
    return broken, conv.name


def paired(model: onnx.ModelProto) -> set[str]:
    """The Conv and Gemm whose picture and weights both come out of a pair."""
    out = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return {node.name for node in layers if set(node.input[:2]) <= out}


def some(size: int) -> CalibrationSet:
    """Random pictures."""
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    return CalibrationSet(images, Calibration(data="random", split="none", images=8, seed=0))


def with_zero_point(model: onnx.ModelProto) -> onnx.ModelProto:
    """One input of a Conv is quantized about 3 instead of 0."""
    broken = onnx.ModelProto.FromString(model.SerializeToString())
    weights = {one.name: one for one in broken.graph.initializer}
    point = next(
        weights[node.input[2]]
        for node in broken.graph.node
        if node.op_type == "QuantizeLinear" and not weights[node.input[2]].dims
    )
    point.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), point.name))
    return broken


@contextmanager
def listening() -> Iterator[list[str]]:
    """The library's own lines."""
    lines: list[str] = []

    class Listener(logging.Handler):
        """Keeps them."""

        def emit(self, record: logging.LogRecord) -> None:
            """One line."""
            lines.append(record.getMessage())

    log, listener = logging.getLogger("allweather"), Listener()
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield lines
    finally:
        log.removeHandler(listener)
        log.setLevel(logging.NOTSET)


def arithmetic(library: Library, model: onnx.ModelProto) -> dict[str, str]:
    """Type of the input of every Conv and Gemm in the built engine, by name."""
    with listening() as lines:
        build(library, BuildConfig(model.SerializeToString(), "int8", 12, ARCHITECTURE))
    return {found[1]: found[2] for line in lines if (found := LAYER.match(line))}


def refusal(library: Library, model: onnx.ModelProto) -> str:
    """What is said of a graph that cannot be built; empty if it can, or if no node of it is named."""
    try:
        build(library, BuildConfig(model.SerializeToString(), "int8", 12, ARCHITECTURE))
    except EngineError as error:
        named = re.search(r"refuses the node (\S+) ", str(error))
        return str(error) if named and named[1] in {node.name for node in model.graph.node} else ""
    return ""


def main(arch: str = "resnet50", size: str = "224") -> int:
    """Prints what was found; returns 1 if anything is not as it must be."""
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime advises to fold batch norms, which are folded
    library, side = open_library("tensorrt_rtx"), int(size)
    torch.manual_seed(0)
    spec = InputSpec(side, side)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.onnx")
        network = build_model(arch, 10, spec)
        plain.write_bytes(to_onnx(network, spec))
        good = onnx.load_from_string(quantize_onnx(plain.read_bytes(), some(side)))
        half = onnx.load_from_string(to_onnx(network, spec, torch.float16))
        biased = quantized(plain, side, bias=True)
        operators = quantized(plain, side, QuantFormat.QOperator)
    meant, every = paired(good), [node.name for node in good.graph.node if node.op_type in ("Conv", "Gemm")]
    began = time.perf_counter()
    layers = arithmetic(library, good)
    spent = time.perf_counter() - began
    int8 = {name for name, kind in layers.items() if kind == "Int8"}
    print(f"tensorrt_rtx {library.version}, {arch} at {size} px: built in {spent:.1f} s, {len(int8)} layers in Int8")
    print(f"meant to be: {len(meant)} of {len(every)}; in float, as meant: {sorted(set(every) - meant)}")
    halves = arithmetic(library, half)
    print(f"FP16 graph: {sum(kind == 'Half' for kind in halves.values())} of {len(halves)} layers in Half")
    broken, name = without_weight_pair(good)
    lost = int8 - {layer for layer, kind in arithmetic(library, broken).items() if kind == "Int8"}
    print(f"without the pair on the weights of {name}: no more in Int8 {sorted(lost)}")
    wrong = {"int32 bias": biased, "zero point 3": with_zero_point(good), "QOperator": operators}
    said = {what: refusal(library, model) for what, model in wrong.items()}
    for what, text in said.items():
        print(f"{what}: {text or 'NOT REFUSED BY NAME'}")
    fine = int8 == meant and lost == {name} and set(halves.values()) == {"Half"} and all(said.values())
    print("as it must be" if fine else "NOT as it must be")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
