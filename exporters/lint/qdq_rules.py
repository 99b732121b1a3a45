"""Rules on the file, its operators, and each Q/DQ pair by itself.

What TensorRT makes of each was tried with TensorRT-RTX 1.7.1, which compiles without a GPU; what it takes against the
ONNX standard was tried with ONNX Runtime 1.31.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from onnx import NodeProto, TensorProto

from allweather.exporters.lint.finding import Finding, advice, error
from allweather.exporters.lint.qdq_graph import (
    DEQUANTIZE,
    QUANTIZE,
    Graph,
    argument,
    attribute,
    is_a,
    is_external,
    one_line,
)

QOPERATORS = frozenset((
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QGemm", "QLinearAdd", "QLinearAveragePool",
    "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearMul",
    "QLinearSigmoid", "QLinearSoftmax",
))  # fmt: skip
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def external_data(graph: Graph) -> Iterator[Finding]:
    """Weights outside the file: an engine that is given the file alone has none, and a bundle takes no such file."""
    outside = [tensor.name for tensor in graph.proto.initializer if is_external(tensor)]
    for node in graph.nodes:
        held = [item.t for item in node.attribute if item.HasField("t") and is_external(item.t)]
        outside += [next(iter(node.output), "a constant") for _ in held]
    if outside:
        more = f" and {len(outside) - 1} more lie" if len(outside) > 1 else " lies"
        yield Finding(
            "external-data", "error", one_line(outside[0]), f"{more.strip()} outside the file",
            "save it whole where that file is: onnx.save(onnx.load(path), path, save_as_external_data=False)",
        )  # fmt: skip


def opset(graph: Graph) -> Iterator[Finding]:
    """Q/DQ is there from opset 10, scales per channel from 13, in half precision from 19."""
    if not graph.pairs or graph.outer:  # an inner graph has the opset of the outermost
        return
    version, first = graph.opset, graph.pairs[0]
    per_channel = next((node for node in graph.pairs if any(item.name == "axis" for item in node.attribute)), None)
    halves = next((node for node in graph.pairs if _scale_type(graph, node) in HALVES), None)
    cure = "export with opset 19 or newer" if halves is not None else "export with opset 13 or newer"
    if version < 10:
        yield error("opset", first, f"is not known to opset {version}; ONNX Runtime refuses it", cure)
    elif version < 13 and per_channel is not None:
        yield error("opset", per_channel, f"has an axis, which opset {version} has not; ONNX Runtime refuses it", cure)
    elif version < 19 and halves is not None:
        yield error("opset", halves, f"has a half-precision scale in opset {version}; ONNX Runtime refuses it", cure)
    elif version < 13:
        yield advice("opset", first, f"is of opset {version}, in which weights have one scale for all channels", cure)


def qoperator(graph: Graph) -> Iterator[Finding]:
    """Operators that compute in integers: TensorRT has none of them."""
    for node in graph.nodes:
        if is_a(node, *QOPERATORS):
            cure = "quantize again in the Q/DQ format (ONNX Runtime: quant_format=QDQ, and static)"
            yield error("qoperator", node, f"is {node.op_type}, which TensorRT refuses", cure)


def integer_type(graph: Graph) -> Iterator[Finding]:
    """Anything but int8: uint8 weights are refused, uint8 activations are taken for int8."""
    for node in _leading(graph):
        kind = _type(graph, node)
        if kind in (TensorProto.INT8, TensorProto.INT32, TensorProto.UNDEFINED):  # int32: see `wide_bias`
            continue
        known = kind in TensorProto.DataType.values()  # a file may be of a newer onnx
        name = TensorProto.DataType.Name(kind).lower() if known else f"type {kind}"
        text = f"is {name}; TensorRT runs INT8 on int8 only"
        if kind == TensorProto.UINT8:
            text = "is uint8; TensorRT takes it for int8, which cuts off the upper half, or refuses it"
            missing = is_a(node, QUANTIZE) and not argument(node, 2)
            text = f"has no zero point, so it {text}" if missing else text
        yield error("type", node, text, "quantize to int8 with zero point 0")


def zero_point(graph: Graph) -> Iterator[Finding]:
    """A zero point that is not 0: TensorRT refuses the graph."""
    for node in _leading(graph):
        zeros = graph.values(argument(node, 2)) if _type(graph, node) == TensorProto.INT8 else None
        if zeros is not None and np.any(zeros):
            worst = zeros.reshape(-1)[np.argmax(zeros.reshape(-1) != 0)]
            cure = "quantize symmetrically: int8, all zero points 0"
            yield error("zero-point", node, f"has the zero point {worst}; TensorRT refuses it", cure)


def scale_value(graph: Graph) -> Iterator[Finding]:
    """A scale that is no positive number, or that is computed: TensorRT-RTX 1.7 crashed on one."""
    for node in _leading(graph):
        name = argument(node, 1)
        scale = graph.values(name)
        if scale is None:
            stored = graph.constant(graph.source(name))
            if stored is None:  # outside the file is another finding
                cure = "calibrate, and store the scale as an initializer"
                yield error("scale", node, "has a scale that is computed; TensorRT wants a constant", cure)
            continue
        numbers = scale.astype(np.float64).reshape(-1)
        wrong = numbers[~(np.isfinite(numbers) & (numbers > 0))]
        if len(wrong):
            cure = "calibrate again on real pictures: a channel that is always 0 still needs a small scale"
            yield error("scale", node, f"has the scale {wrong[0]:g}; scales are positive numbers", cure)


def activation_scale(graph: Graph) -> Iterator[Finding]:
    """One scale a channel, or a list of one scale, on what is computed: TensorRT leaves the layer behind in float."""
    for node in _leading(graph):
        scale = graph.constant(graph.source(argument(node, 1)))
        if scale is None or not len(scale.dims) or _is_stored(graph, node):
            continue
        count = int(np.prod(list(scale.dims), dtype=object))
        what = "a scale of shape [1]" if count == 1 else f"{count} scales"
        text = f"has {what} on an activation; TensorRT runs what reads it in float"
        yield error("activation-scale", node, text, "give it one scale, and that a scalar (shape [])")


def lone(graph: Graph) -> Iterator[Finding]:
    """A Q without its DQ, or a DQ without its Q. At the ends of a graph, int8 in and out, one alone is right."""
    for node in graph.pairs:
        if is_a(node, QUANTIZE):
            reader = _stranger(graph, node)
            if reader is not None:
                text = f"is read by {reader.op_type}, not by DequantizeLinear; TensorRT runs it in float or refuses it"
                yield error("lone", node, text, "put DequantizeLinear with the same scale right behind it")
            continue
        root, way = next(graph.roots(argument(node, 0)), ("", ()))
        maker = graph.maker(root)
        if graph.constant(root) is not None:
            if way:
                text = f"reads its integers through {way[0].op_type}; TensorRT refuses it"
                yield error("lone", node, text, "store the integers as they are read, right before it")
        elif maker is not None and not is_a(maker, QUANTIZE, *QOPERATORS):
            text = f"reads {maker.op_type}, not QuantizeLinear; TensorRT runs it in float or refuses it"
            yield error("lone", node, text, "put QuantizeLinear with the same scale right before it")


def wide_bias(graph: Graph) -> Iterator[Finding]:
    """A bias, or anything else, that is stored as int32: TensorRT refuses it."""
    for node in graph.pairs:
        if is_a(node, DEQUANTIZE) and _type(graph, node) == TensorProto.INT32:
            cure = "leave biases in float (ONNX Runtime: QuantizeBias=False)"
            yield error("bias", node, "is an int32 bias; TensorRT refuses it", cure)


def _leading(graph: Graph) -> Iterator[NodeProto]:
    """Each pair once: its Q, and its DQ only where that has a scale or zero point of its own."""
    for node in graph.pairs:
        q = graph.quantize_of(node) if is_a(node, DEQUANTIZE) else None
        if q is None or list(q.input[1:]) != list(node.input[1:]):
            yield node


def _type(graph: Graph, node: NodeProto) -> int:
    """The integer type (TensorProto.DataType) on the quantized side of a Q or DQ; UNDEFINED if it cannot be told."""
    zero = graph.constant(graph.source(argument(node, 2)))
    if zero is not None:
        return int(zero.data_type)
    if is_a(node, QUANTIZE):
        return attribute(node, "output_dtype", 0) or int(TensorProto.UINT8)  # the standard's default
    q = graph.quantize_of(node)
    if q is not None:
        return _type(graph, q)
    root, _ = next(graph.roots(argument(node, 0)), ("", ()))
    stored = graph.constant(root)
    if stored is not None:
        return int(stored.data_type)
    given = next((value for value in graph.proto.input if value.name == root), None)
    return int(given.type.tensor_type.elem_type) if given is not None else int(TensorProto.UNDEFINED)


def _scale_type(graph: Graph, node: NodeProto) -> int:
    scale = graph.constant(graph.source(argument(node, 1)))
    return int(scale.data_type) if scale is not None else int(TensorProto.UNDEFINED)


def _is_stored(graph: Graph, node: NodeProto) -> bool:
    """Whether a Q or DQ works on a constant, a weight or a bias."""
    q = graph.quantize_of(node) if is_a(node, DEQUANTIZE) else None
    first = argument(q if q is not None else node, 0)
    return any(graph.constant(root) is not None for root, _ in graph.roots(first))


def _stranger(graph: Graph, q: NodeProto) -> NodeProto | None:
    """The first reader of a Q's integers that is no DQ and does not merely move them."""
    seen, waiting = set(), list(chain.from_iterable(graph.users(name) for name in q.output))
    while waiting:
        reader = waiting.pop(0)
        if id(reader) in seen or is_a(reader, DEQUANTIZE, *QOPERATORS) or reader.op_type in ("If", "Loop", "Scan"):
            continue
        seen.add(id(reader))
        if not graph.moves(reader):
            return reader
        waiting += chain.from_iterable(graph.users(name) for name in reader.output)
    return None
