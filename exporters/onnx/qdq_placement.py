"""Places QuantizeLinear / DequantizeLinear (Q/DQ) pairs in an ONNX graph where engines can fuse layers despite them.

The rules are NVIDIA's for explicit quantization: a pair at each input of a convolution and none at its output, so that
Conv + bias + ReLU stays one kernel; and a pair on the shortcut of a residual Add, so that the Add is fused into the
last convolution before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

MIN_INPUT_CHANNELS = 16  # with fewer, an INT8 kernel pads to 16, and a float one is no slower (NVIDIA's advice)


@dataclass(frozen=True)
class QdqPlacement:
    """Which tensors of a graph are quantized to INT8.

    Attributes:
        weights: Names of the convolutions' weight tensors; each gets one scale per output channel.
        activations: Names of the tensors that get a pair with one scale, in the order of the graph.
    """

    weights: tuple[str, ...]
    activations: tuple[str, ...]


def choose_placement(model: onnx.ModelProto) -> QdqPlacement:
    """Chooses what becomes INT8: convolutions of at least 16 input channels, and the shortcuts that are added to them.

    A Gemm stays in float: for one image it multiplies a matrix by a vector, which takes as long as reading the matrix.

    Args:
        model: float32 graph with folded BatchNorm and its weights among the initializers.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    producers = {name: (index, node) for index, node in enumerate(model.graph.node) for name in node.output}
    convolutions = [node for node in model.graph.node if _is_wide_conv(node, shapes)]
    outputs = {node.output[0] for node in convolutions}
    quantized = {node.input[0] for node in convolutions}
    for node in model.graph.node:
        if node.op_type == "Add" and outputs & set(node.input) and not shapes.keys() & set(node.input):
            quantized.add(_shortcut(node, outputs, producers))
    order = [tensor.name for tensor in model.graph.input] + list(producers)
    activations = tuple(name for name in order if name in quantized)
    return QdqPlacement(tuple(dict.fromkeys(node.input[1] for node in convolutions)), activations)


def insert_pairs(model: onnx.ModelProto, placement: QdqPlacement, max_abs: dict[str, float]) -> onnx.ModelProto:
    """Returns a copy of the graph with the pairs in it; weights become int8, each followed by a DequantizeLinear.

    Args:
        model: Graph as `choose_placement` takes it.
        placement: What `choose_placement` chose for this graph.
        max_abs: For each activation the absolute value that becomes 127, > 0.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    names = set(placement.weights)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in names}
    kept = [tensor for tensor in graph.initializer if tensor.name not in weights]
    added: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for name, values in weights.items():
        nodes.append(_weight_pair(name, values, added))
    available = [tensor.name for tensor in graph.input]
    for node in [None, *graph.node]:  # None: first the pairs on the inputs of the graph
        if node is not None:
            nodes.append(node)
            available = list(node.output)
        for name in available:
            if name in placement.activations:
                nodes += _activation_pair(name, max_abs[name], added)
    renamed = {name: f"{name}_dequantized" for name in (*weights, *placement.activations)}
    quantizers = {f"{name}_quantize" for name in placement.activations}
    for node in nodes:
        if node.name not in quantizers:
            node.input[:] = [renamed.get(name, name) for name in node.input]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *added])
    return out


def _is_wide_conv(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether this is a convolution with enough input channels to gain from INT8."""
    if node.op_type != "Conv" or node.input[1] not in shapes:
        return False
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return shapes[node.input[1]][1] * groups >= MIN_INPUT_CHANNELS


def _shortcut(add: onnx.NodeProto, conv_outputs: set[str], producers: dict[str, tuple[int, onnx.NodeProto]]) -> str:
    """Returns the input of a residual Add that is its shortcut.

    That is the input that no quantized convolution computes. If convolutions compute both, it is the one whose
    convolution reads the earlier tensor.
    """
    first, second = add.input
    if (first in conv_outputs) != (second in conv_outputs):
        return str(second if first in conv_outputs else first)
    read_at = {name: producers.get(producers[name][1].input[0], (-1, None))[0] for name in (first, second)}
    return str(min((second, first), key=lambda name: read_at[name]))


def _weight_pair(name: str, values: npt.NDArray[np.float32], added: list[onnx.TensorProto]) -> onnx.NodeProto:
    """Quantizes a weight with one scale per output channel; stored as int8, so that the file is a quarter as large."""
    max_abs = np.abs(values.reshape(len(values), -1)).max(1)
    scale = np.maximum(max_abs / 127, np.finfo(np.float32).tiny).astype(np.float32)
    rounded = np.clip(np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))), -127, 127).astype(np.int8)
    added += [
        numpy_helper.from_array(rounded, f"{name}_int8"),
        numpy_helper.from_array(scale, f"{name}_scale"),
        numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_zero"),
    ]
    inputs = [f"{name}_int8", f"{name}_scale", f"{name}_zero"]
    return onnx.helper.make_node("DequantizeLinear", inputs, [f"{name}_dequantized"], name=f"{name}_dequantize", axis=0)


def _activation_pair(name: str, max_abs: float, added: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Returns a QuantizeLinear and a DequantizeLinear with one scale for the whole activation."""
    added += [
        numpy_helper.from_array(np.float32(max_abs / 127), f"{name}_scale"),
        numpy_helper.from_array(np.int8(0), f"{name}_zero"),
    ]
    constants = [f"{name}_scale", f"{name}_zero"]
    return [
        onnx.helper.make_node("QuantizeLinear", [name, *constants], [f"{name}_int8"], name=f"{name}_quantize"),
        onnx.helper.make_node(
            "DequantizeLinear", [f"{name}_int8", *constants], [f"{name}_dequantized"], name=f"{name}_dequantize"
        ),
    ]
