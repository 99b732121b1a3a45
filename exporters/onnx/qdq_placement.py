"""Where QuantizeLinear / DequantizeLinear pairs go in an ONNX graph, so that TensorRT and others fuse around them.

The rules are NVIDIA's for explicit quantization: a pair at each input of a convolution, none behind it, so that
Conv + bias + ReLU stays one kernel; and a pair on the branch that a residual Add takes past its convolutions, so that
the Add is fused into the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

LEAST_CHANNELS = 16  # below, an INT8 kernel is padded to it, and a float one is no slower (NVIDIA's advice)


@dataclass(frozen=True)
class Placement:
    """What becomes INT8.

    Attributes:
        convolutions: names of their weight tensors; each gets a pair per output channel.
        activations: tensors that get a pair with one scale, in the order of the graph.
    """

    convolutions: tuple[str, ...]
    activations: tuple[str, ...]


def place(model: onnx.ModelProto) -> Placement:
    """Chooses what becomes INT8: convolutions of at least 16 input channels, and the residual branches beside them.

    A Gemm stays in float: with one picture it is a product of a matrix and a vector, which waits for memory.

    Args:
        model: float32, BatchNorm folded, weights among its initializers.
    """
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    source = {name: (place, node) for place, node in enumerate(model.graph.node) for name in node.output}
    chosen = [node for node in model.graph.node if _wide(node, weights)]
    outputs = {node.output[0] for node in chosen}
    wanted = {node.input[0] for node in chosen}
    for node in model.graph.node:
        if node.op_type == "Add" and outputs & set(node.input) and not weights.keys() & set(node.input):
            wanted.add(_past(node, outputs, source))
    order = [tensor.name for tensor in model.graph.input] + list(source)
    activations = tuple(name for name in order if name in wanted)
    return Placement(tuple(dict.fromkeys(node.input[1] for node in chosen)), activations)


def insert(model: onnx.ModelProto, placement: Placement, largest: dict[str, float]) -> onnx.ModelProto:
    """Writes the pairs into a copy of a graph; weights become int8 with a DequantizeLinear each.

    Args:
        model: as for `place`.
        placement: of this graph.
        largest: for each activation the absolute value that becomes 127, > 0.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    chosen = set(placement.convolutions)
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in chosen}
    kept = [tensor for tensor in graph.initializer if tensor.name not in floats]
    added: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for name, values in floats.items():
        nodes.append(_weight_pair(name, values, added))
    ready = [tensor.name for tensor in graph.input]
    for node in [None, *graph.node]:
        if node is not None:
            nodes.append(node)
            ready = list(node.output)
        for name in ready:
            if name in placement.activations:
                nodes += _activation_pair(name, largest[name], added)
    renamed = {name: f"{name}_dequantized" for name in (*floats, *placement.activations)}
    pairs = {f"{name}_quantize" for name in placement.activations}
    for node in nodes:
        if node.name not in pairs:
            node.input[:] = [renamed.get(name, name) for name in node.input]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *added])
    return out


def _wide(node: onnx.NodeProto, weights: dict[str, tuple[int, ...]]) -> bool:
    """Whether this is a convolution that is worth INT8."""
    if node.op_type != "Conv" or node.input[1] not in weights:
        return False
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return weights[node.input[1]][1] * groups >= LEAST_CHANNELS


def _past(add: onnx.NodeProto, convolved: set[str], source: dict[str, tuple[int, onnx.NodeProto]]) -> str:
    """The input of a residual Add that goes past: no convolution's output, or that of the one which reads earlier."""
    first, second = add.input
    if (first in convolved) != (second in convolved):
        return str(second if first in convolved else first)
    reads = {name: source.get(source[name][1].input[0], (-1, None))[0] for name in (first, second)}
    return str(min((second, first), key=lambda name: reads[name]))


def _weight_pair(name: str, values: npt.NDArray[np.float32], added: list[onnx.TensorProto]) -> onnx.NodeProto:
    """One scale an output channel; rounded to int8 here, so that the file is a quarter as large."""
    peak = np.abs(values.reshape(len(values), -1)).max(1)
    scale = np.maximum(peak / 127, np.finfo(np.float32).tiny).astype(np.float32)
    rounded = np.clip(np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))), -127, 127).astype(np.int8)
    added += [
        numpy_helper.from_array(rounded, f"{name}_int8"),
        numpy_helper.from_array(scale, f"{name}_scale"),
        numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_zero"),
    ]
    inputs = [f"{name}_int8", f"{name}_scale", f"{name}_zero"]
    return onnx.helper.make_node("DequantizeLinear", inputs, [f"{name}_dequantized"], name=f"{name}_dequantize", axis=0)


def _activation_pair(name: str, largest: float, added: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    added += [
        numpy_helper.from_array(np.float32(largest / 127), f"{name}_scale"),
        numpy_helper.from_array(np.int8(0), f"{name}_zero"),
    ]
    constants = [f"{name}_scale", f"{name}_zero"]
    return [
        onnx.helper.make_node("QuantizeLinear", [name, *constants], [f"{name}_int8"], name=f"{name}_quantize"),
        onnx.helper.make_node(
            "DequantizeLinear", [f"{name}_int8", *constants], [f"{name}_dequantized"], name=f"{name}_dequantize"
        ),
    ]
