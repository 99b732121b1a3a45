"""Rules on the file, its operators, and each Q/DQ pair by itself.

What TensorRT does in each case was tried with TensorRT-RTX 1.7.1, which compiles without a GPU. What
the ONNX standard does not allow was tried with ONNX Runtime 1.31.
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
    attribute,
    input_name,
    is_a,
    is_external,
    is_transparent,
    one_line,
)

QOPERATORS = frozenset((
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QGemm", "QLinearAdd", "QLinearAveragePool",
    "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearMul",
    "QLinearSigmoid", "QLinearSoftmax",
))  # fmt: skip
HALF_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def external_data(graph: Graph) -> Iterator[Finding]:
    """Weights are stored outside the file: an engine that gets this file alone has no weights, nor has a bundle."""
    outside = [tensor.name for tensor in graph.proto.initializer if is_external(tensor)]
    for node in graph.nodes:
        held = [item.t for item in node.attribute if item.HasField("t") and is_external(item.t)]
        outside += [next(iter(node.output), "a constant") for _ in held]
    if outside:
        more = f", and so are {len(outside) - 1} more" if len(outside) > 1 else ""
        yield Finding(
            "external-data", "error", one_line(outside[0]), f"This tensor is stored outside the file{more}.",
            "Save the model as one file, in the folder where its data are: "
            "onnx.save(onnx.load(path), path, save_as_external_data=False).",
        )  # fmt: skip


def opset(graph: Graph) -> Iterator[Finding]:
    """The opset is too old: Q/DQ exists from opset 10, scales per channel from 13, scales in half precision from 19."""
    if not graph.qdq_nodes or graph.outer:  # an inner graph has the opset of the outermost
        return
    version, first = graph.opset, graph.qdq_nodes[0]
    per_channel = next((node for node in graph.qdq_nodes if any(item.name == "axis" for item in node.attribute)), None)
    half = next((node for node in graph.qdq_nodes if _scale_type(graph, node) in HALF_TYPES), None)
    refused = "ONNX Runtime refuses the graph."
    cure = "Export with opset 19 or newer." if half is not None else "Export with opset 13 or newer."
    if version < 10:
        yield error("opset", first, f"Opset {version} does not have {first.op_type}; {refused}", cure)
    elif version < 13 and per_channel is not None:
        text = f"The node has an axis, which opset {version} does not allow; {refused}"
        yield error("opset", per_channel, text, cure)
    elif version < 19 and half is not None:
        text = f"The scale is in half precision, which opset {version} does not allow; {refused}"
        yield error("opset", half, text, cure)
    elif version < 13:
        yield advice("opset", first, f"In opset {version} a weight has one scale for all of its channels.", cure)


def qoperator(graph: Graph) -> Iterator[Finding]:
    """The graph has operators that compute on integers: TensorRT has none of them."""
    for node in graph.nodes:
        if is_a(node, *QOPERATORS):
            cure = "Quantize statically in the Q/DQ format (ONNX Runtime: quantize_static with quant_format=QDQ)."
            yield error("qoperator", node, f"TensorRT refuses {node.op_type}, which computes on integers.", cure)


def integer_type(graph: Graph) -> Iterator[Finding]:
    """The quantized type is not int8: uint8 weights are refused, uint8 activations are read as int8."""
    for node in _first_of_pairs(graph):
        kind = _type(graph, node)
        if kind in (TensorProto.INT8, TensorProto.INT32, TensorProto.UNDEFINED):  # int32: see `int32_bias`
            continue
        known = kind in TensorProto.DataType.values()  # a file may come from a newer onnx
        name = TensorProto.DataType.Name(kind).lower() if known else f"number {kind}"
        text = f"The quantized type is {name}; TensorRT runs INT8 on int8 only."
        if kind == TensorProto.UINT8:
            missing = is_a(node, QUANTIZE) and not input_name(node, 2)
            subject = "There is no zero point, so the quantized type is" if missing else "The quantized type is"
            text = f"{subject} uint8; TensorRT refuses it, or reads it as int8, which cuts off the upper half."
        yield error("type", node, text, "Quantize to int8 with zero point 0.")


def zero_point(graph: Graph) -> Iterator[Finding]:
    """A zero point is not 0: TensorRT refuses the graph."""
    for node in _first_of_pairs(graph):
        zeros = graph.values(input_name(node, 2)) if _type(graph, node) == TensorProto.INT8 else None
        if zeros is not None and np.any(zeros):
            first = zeros.reshape(-1)[np.argmax(zeros.reshape(-1) != 0)]
            cure = "Quantize symmetrically: int8, with all zero points 0."
            yield error("zero-point", node, f"The zero point is {first}; TensorRT accepts 0 only.", cure)


def scale_value(graph: Graph) -> Iterator[Finding]:
    """A scale is not a positive number, or is computed by the graph: TensorRT-RTX 1.7 crashed on such a graph."""
    for node in _first_of_pairs(graph):
        name = input_name(node, 1)
        scale = graph.values(name)
        if scale is None:
            stored = graph.constant(graph.source(name))
            if stored is None:  # a scale outside the file is found by `external_data`
                cure = "Calibrate, and store the scale as an initializer."
                yield error("scale", node, "The graph computes the scale; TensorRT needs a constant.", cure)
            continue
        values = scale.astype(np.float64).reshape(-1)
        invalid = values[~(np.isfinite(values) & (values > 0))]
        if len(invalid):
            cure = "Calibrate again on real images: a channel that is always 0 still needs a small scale."
            yield error("scale", node, f"A scale is {invalid[0]:g}; scales must be finite and positive.", cure)


def activation_scale(graph: Graph) -> Iterator[Finding]:
    """An activation has a scale per channel, or one scale in a list: TensorRT runs the layer that reads it in float."""
    for node in _first_of_pairs(graph):
        scale = graph.constant(graph.source(input_name(node, 1)))
        if scale is None or not len(scale.dims) or _is_stored(graph, node):
            continue
        count = int(np.prod(list(scale.dims), dtype=object))
        scales = "a scale of shape [1]" if count == 1 else f"{count} scales"
        text = f"The activation has {scales}; TensorRT runs the layer that reads it in float."
        yield error("activation-scale", node, text, "Give it one scale, as a scalar (shape []).")


def unpaired(graph: Graph) -> Iterator[Finding]:
    """A Q has no DQ, or a DQ has no Q. At the ends of a graph that takes or returns int8, one alone is valid."""
    refused = "TensorRT runs it in float, or refuses it."
    for node in graph.qdq_nodes:
        if is_a(node, QUANTIZE):
            reader = _other_reader(graph, node)
            if reader is not None:
                text = f"Its integers are read by {reader.op_type}, not DequantizeLinear; {refused}"
                cure = "Put a DequantizeLinear with the same scale directly behind this node."
                yield error("unpaired", node, text, cure)
            continue
        root, path = next(graph.roots(input_name(node, 0)), ("", ()))
        producer = graph.producer(root)
        if graph.constant(root) is not None:
            if path:
                text = f"{path[0].op_type} is between the stored integers and this node; TensorRT refuses that."
                yield error("unpaired", node, text, "Store the integers in the form in which this node reads them.")
        elif producer is not None and not is_a(producer, QUANTIZE, *QOPERATORS):
            text = f"Its input comes from {producer.op_type}, not QuantizeLinear; {refused}"
            cure = "Put a QuantizeLinear with the same scale directly before this node."
            yield error("unpaired", node, text, cure)


def int32_bias(graph: Graph) -> Iterator[Finding]:
    """A bias, or any other tensor, is stored as int32: TensorRT refuses it."""
    for node in graph.qdq_nodes:
        if is_a(node, DEQUANTIZE) and _type(graph, node) == TensorProto.INT32:
            cure = "Leave biases in float (ONNX Runtime: QuantizeBias=False)."
            yield error("bias", node, "The bias is int32; TensorRT refuses it.", cure)


def _first_of_pairs(graph: Graph) -> Iterator[NodeProto]:
    """Yields one node for each pair: its Q, and also its DQ if that has another scale or zero point."""
    for node in graph.qdq_nodes:
        q = graph.quantize_of(node) if is_a(node, DEQUANTIZE) else None
        if q is None or list(q.input[1:]) != list(node.input[1:]):
            yield node


def _type(graph: Graph, node: NodeProto) -> int:
    """Returns the integer type (TensorProto.DataType) of a Q or DQ; UNDEFINED if the graph does not tell."""
    zero = graph.constant(graph.source(input_name(node, 2)))
    if zero is not None:
        return int(zero.data_type)
    if is_a(node, QUANTIZE):
        return attribute(node, "output_dtype", 0) or int(TensorProto.UINT8)  # the standard's default
    q = graph.quantize_of(node)
    if q is not None:
        return _type(graph, q)
    root, _ = next(graph.roots(input_name(node, 0)), ("", ()))
    stored = graph.constant(root)
    if stored is not None:
        return int(stored.data_type)
    graph_input = next((value for value in graph.proto.input if value.name == root), None)
    return int(graph_input.type.tensor_type.elem_type) if graph_input is not None else int(TensorProto.UNDEFINED)


def _scale_type(graph: Graph, node: NodeProto) -> int:
    scale = graph.constant(graph.source(input_name(node, 1)))
    return int(scale.data_type) if scale is not None else int(TensorProto.UNDEFINED)


def _is_stored(graph: Graph, node: NodeProto) -> bool:
    """Whether a Q or DQ reads a constant: a weight or a bias."""
    q = graph.quantize_of(node) if is_a(node, DEQUANTIZE) else None
    first = input_name(q if q is not None else node, 0)
    return any(graph.constant(root) is not None for root, _ in graph.roots(first))


def _other_reader(graph: Graph, q: NodeProto) -> NodeProto | None:
    """Returns the first node that computes on a Q's integers and is no DQ; transparent nodes are followed."""
    visited, waiting = set(), list(chain.from_iterable(graph.consumers(name) for name in q.output))
    while waiting:
        reader = waiting.pop(0)
        if id(reader) in visited or is_a(reader, DEQUANTIZE, *QOPERATORS) or reader.op_type in ("If", "Loop", "Scan"):
            continue
        visited.add(id(reader))
        if not is_transparent(reader):
            return reader
        waiting += chain.from_iterable(graph.consumers(name) for name in reader.output)
    return None
