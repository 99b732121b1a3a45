"""Rules on Conv, ConvTranspose, Gemm and MatMul: what a layer needs around it to run in INT8, and fast.

What TensorRT does in each case was tried with TensorRT-RTX 1.7.1, which compiles without a GPU and lists for each layer
whether it runs on Int8 or Float, and what was fused into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto

from allweather.exporters.lint.finding import Finding, advice, error
from allweather.exporters.lint.qdq_graph import (
    DEQUANTIZE,
    QUANTIZE,
    Graph,
    Layer,
    QdqPair,
    attribute,
    display_name,
    input_name,
    is_a,
)
from allweather.exporters.lint.static_shapes import static_shapes

CONV_OPS = ("Conv", "ConvTranspose")
ACTIVATION_OPS = ("Clip", "HardSwish", "HardSigmoid", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")
MIN_INPUT_CHANNELS = 16  # an INT8 kernel computes on this many channels at once
MEASURE = "Leave it in float unless INT8 is measured to be faster."


def half_quantized(graph: Graph) -> Iterator[Finding]:
    """One operand comes from a pair and the other does not: the layer runs in float, and the pair costs time."""
    for layer in graph.layers:
        if layer.quantized or not any(layer.operands):
            continue
        missing = layer.operands.index(None)
        name = input_name(layer.node, missing)
        in_float, quantized = ("weight", "input") if missing == layer.weight else ("input", "weight")
        producers = (graph.producer(root) for root, _ in graph.roots(name))
        producer = next((node for node in producers if node is not None), None)
        origin = f" (from {producer.op_type} {display_name(producer)})" if producer is not None else ""
        text = f"The {quantized} is quantized but the {in_float}{origin} is not; the layer runs in float."
        cure = f"Put a Q/DQ pair on the {in_float}, or remove the one on the {quantized}."
        yield error("half-quantized", layer.node, text, cure)


def weight_scales(graph: Graph) -> Iterator[Finding]:
    """The scales of a weight belong on the axis of its output channels; on another axis the layer runs in float."""
    for layer in graph.layers:
        pair = layer.operands[layer.weight] if layer.weight is not None else None
        if pair is None:
            continue
        scale = graph.constant(graph.source(input_name(pair.dq, 1)))
        if scale is None or pair.axis is None or pair.dims is None:
            continue
        axis = _output_axis(layer, len(pair.dims))
        channels = pair.dims[axis] if 0 <= axis < len(pair.dims) else 0
        count = int(np.prod(list(scale.dims), dtype=object))
        cure = f"Quantize the weight per channel, on axis {axis}."
        if count == 1 and channels > 1:
            text = f"The weight has one scale for all {channels} channels, which is less accurate and no faster."
            yield advice("per-tensor-weight", layer.node, text, cure)
        elif count != 1 and (pair.axis != axis or count != channels or len(scale.dims) > 1):
            text = f"The weight {list(pair.dims)} has {count} scales on axis {pair.axis}; the layer runs in float."
            yield error("weight-axis", layer.node, text, cure)


def int8_bias(graph: Graph) -> Iterator[Finding]:
    """The bias is stored in int8: that works, but is coarse, and the bias is dequantized at each call."""
    for layer in graph.layers:
        dq = graph.producer(input_name(layer.node, 2)) if layer.node.op_type != "MatMul" else None
        if dq is None or not is_a(dq, DEQUANTIZE):
            continue
        root, _ = next(graph.roots(input_name(dq, 0)), ("", ()))
        stored = graph.constant(root)
        if stored is None or stored.data_type != TensorProto.INT32:  # int32 is refused: see `int32_bias`
            text = f"The bias of {display_name(layer.node)} has 8 bits: it is coarse, and slower than one in float."
            yield advice("bias", dq, text, "Leave biases in float.")


def conv_transpose(graph: Graph) -> Iterator[Finding]:
    """A ConvTranspose is quantized; TensorRT-RTX 1.7 has no INT8 kernel for it, whatever its size."""
    for layer in graph.layers:
        if layer.quantized and layer.node.op_type == "ConvTranspose":
            text = "TensorRT-RTX 1.7 runs a quantized ConvTranspose in float behind its Q/DQ pairs."
            cure = "Leave it in float unless the layers of the built engine show it in Int8."
            yield advice("conv-transpose", layer.node, text, cure)


def few_channels(graph: Graph) -> Iterator[Finding]:
    """A quantized Conv has too few input channels to fill an INT8 instruction."""
    for layer in graph.layers:
        pair = layer.operands[1]
        if (
            not layer.quantized
            or layer.node.op_type != "Conv"
            or pair is None
            or pair.dims is None
            or len(pair.dims) < 2
        ):
            continue
        group = attribute(layer.node, "group", 1)
        channels = pair.dims[1] * group
        depthwise = group > 1 and group == channels
        if channels < MIN_INPUT_CHANNELS and not depthwise:
            text = f"It has {channels} input channels; with fewer than {MIN_INPUT_CHANNELS}, float is often faster."
            yield advice("few-channels", layer.node, text, MEASURE)


def matrix_vector(graph: Graph) -> Iterator[Finding]:
    """A quantized matrix product has one row: reading its weights takes longer than the arithmetic."""
    products = [layer for layer in graph.layers if layer.quantized and layer.node.op_type in ("Gemm", "MatMul")]
    shapes = static_shapes(graph.proto, graph.opset) if products else {}
    for layer in products:
        shape = shapes.get(next(iter(layer.node.output), ""), ())
        rows = shape[:-1] if layer.weight == 1 else (None,)
        if shape and all(size == 1 for size in rows):
            text = "It multiplies a matrix with one row; such a product is often faster in float."
            yield advice("matrix-vector", layer.node, text, MEASURE)


def batch_norm(graph: Graph) -> Iterator[Finding]:
    """A BatchNormalization follows a quantized layer: the weights were quantized before it was folded into them."""
    layers = {id(layer.node): layer for layer in graph.layers}
    for node in graph.nodes:
        if not is_a(node, "BatchNormalization"):
            continue
        before = _branch(graph, input_name(node, 0)).producer
        layer = layers.get(id(before)) if before is not None else None
        if layer is not None and any(layer.operands):
            name = f"{layer.node.op_type} {display_name(layer.node)}"
            text = f"It follows the quantized {name}, and reads and writes its whole output once more."
            yield advice("batch-norm", node, text, "Fold it into the weights, then quantize.")


def split_activation(graph: Graph) -> Iterator[Finding]:
    """A pair is between a layer and its activation function: the two cannot run as one kernel."""
    for node in graph.qdq_nodes:
        producer = graph.producer(input_name(node, 0)) if is_a(node, QUANTIZE) else None
        if producer is None or not is_a(producer, *CONV_OPS, "Gemm", "MatMul", "Add", "BatchNormalization"):
            continue
        pairs = [dq for dq in graph.consumers(next(iter(node.output), "")) if is_a(dq, DEQUANTIZE)]
        readers = [reader for dq in pairs for name in dq.output for reader in graph.consumers(name)]
        after = next((reader for reader in readers if is_a(reader, *ACTIVATION_OPS)), None)
        if after is not None:
            layer = f"{producer.op_type} {display_name(producer)}"
            text = f"It is between {layer} and its {after.op_type}, which run as one kernel without it."
            yield advice("split-activation", node, text, f"Move the pair behind {display_name(after)}.")


def residual(graph: Graph) -> Iterator[Finding]:
    """An Add can be fused into its Conv only if it reads that Conv in float and the shortcut from a pair."""
    quantized = {id(layer.node) for layer in graph.layers if layer.quantized and layer.node.op_type == "Conv"}
    for node in graph.nodes:
        if not is_a(node, "Add") or any(_is_stored(graph, name) for name in node.input):
            continue
        branches = [_branch(graph, name) for name in node.input]
        convs = [branch for branch in branches if id(branch.producer) in quantized]
        if not convs:
            continue
        shortcut = next((branch for branch in branches if branch not in convs), convs[-1])
        if convs[0].quantized and (shortcut.quantized or shortcut not in convs):
            text = f"It adds the rounded output of its Conv {convs[0].name}, so that the two cannot run as one kernel."
            yield advice("residual", node, text, f"Remove the pair between {convs[0].name} and this Add.")
        elif not any(branch.quantized for branch in branches):
            text = f"It reads its shortcut, from {shortcut.name}, in float."
            cure = "Put a Q/DQ pair on the shortcut, the same as its other readers have."
            yield advice("residual", node, text, cure)


@dataclass(frozen=True)
class _Branch:
    """One input of a node.

    Attributes:
        producer: The node that computes it, before a pair if there is one; None for an input of the graph.
        quantized: Whether it comes from a pair.
    """

    producer: NodeProto | None
    quantized: bool

    @property
    def name(self) -> str:
        return display_name(self.producer) if self.producer is not None else "an input"


def _branch(graph: Graph, name: str) -> _Branch:
    pair: QdqPair | None = graph.pair_of(name)
    if pair is None:
        return _Branch(graph.producer(graph.source(name)), False)
    return _Branch(graph.producer(input_name(pair.q, 0)) if pair.q is not None else None, True)


def _is_stored(graph: Graph, name: str) -> bool:
    return any(graph.constant(root) is not None for root, _ in graph.roots(name))


def _output_axis(layer: Layer, rank: int) -> int:
    """Returns the axis of a layer's weight that counts the output channels."""
    if layer.node.op_type == "MatMul":
        return rank - (1 if layer.weight == 1 else 2)
    if layer.node.op_type == "Gemm":
        return 0 if attribute(layer.node, "transB", 0) else 1
    return 0 if layer.node.op_type == "Conv" else 1
