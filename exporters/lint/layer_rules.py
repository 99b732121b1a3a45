"""Rules on Conv, Gemm and MatMul: what they need around them to run in INT8, and fast.

What TensorRT makes of each was tried with TensorRT-RTX 1.7.1, which compiles without a GPU and lists for each layer
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
    Quantizer,
    argument,
    attribute,
    is_a,
    title,
)
from allweather.exporters.lint.static_shapes import static_shapes

CONVS = ("Conv", "ConvTranspose")
ACTIVATIONS = ("Clip", "HardSwish", "HardSigmoid", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")
FEWEST = 16  # input channels that an INT8 kernel works on at once


def half_quantized(graph: Graph) -> Iterator[Finding]:
    """One operand from a pair and the other not: the layer runs in float, and the pair is arithmetic for nothing."""
    for layer in graph.layers:
        if layer.quantized or not any(layer.operands):
            continue
        missing = layer.operands.index(None)
        name = argument(layer.node, missing)
        what = "weight" if missing == layer.weight else "input"
        between = next((maker for root, _ in graph.roots(name) if (maker := graph.maker(root)) is not None), None)
        origin = f" (it comes from {between.op_type} {title(between)})" if between is not None else ""
        text = (
            f"has a quantized {'input' if what == 'weight' else 'weight'} and a float {what}{origin}; it runs in float"
        )
        cure = f"put a Q/DQ pair on its {what}, or take the one on its {'input' if what == 'weight' else 'weight'} away"
        yield error("half-quantized", layer.node, text, cure)


def weight_scales(graph: Graph) -> Iterator[Finding]:
    """Scales of a weight lie along the channels of the output; along others the layer runs in float."""
    for layer in graph.layers:
        pair = layer.operands[layer.weight] if layer.weight is not None else None
        if pair is None:
            continue
        scale = graph.constant(graph.source(argument(pair.dq, 1)))
        if scale is None or pair.axis is None or pair.dims is None:
            continue
        axis = _output_axis(layer, len(pair.dims))
        channels = pair.dims[axis] if 0 <= axis < len(pair.dims) else 0
        count = int(np.prod(list(scale.dims), dtype=object))
        if count == 1 and channels > 1:
            text = f"has one scale for all {channels} channels of its weight: less accurate, and no faster"
            yield advice("per-tensor-weight", layer.node, text, f"quantize the weight per channel, on axis {axis}")
        elif count != 1 and (pair.axis != axis or count != channels or len(scale.dims) > 1):
            text = f"has {count} scales on axis {pair.axis} of its weight {list(pair.dims)}; it runs in float"
            yield error("weight-axis", layer.node, text, f"quantize the weight per channel, on axis {axis}")


def narrow_bias(graph: Graph) -> Iterator[Finding]:
    """A bias in int8: it runs, but is coarse, and is multiplied out at each call."""
    for layer in graph.layers:
        dq = graph.maker(argument(layer.node, 2)) if layer.node.op_type != "MatMul" else None
        if dq is None or not is_a(dq, DEQUANTIZE):
            continue
        root, _ = next(graph.roots(argument(dq, 0)), ("", ()))
        stored = graph.constant(root)
        if stored is None or stored.data_type != TensorProto.INT32:  # int32 is refused: see `wide_bias`
            text = f"is the bias of {title(layer.node)} in 8 bits: coarse, and slower than one in float"
            yield advice("bias", dq, text, "leave biases in float")


def transposed(graph: Graph) -> Iterator[Finding]:
    """A quantized ConvTranspose; TensorRT-RTX 1.7 has no INT8 kernel for it, whatever its size."""
    for layer in graph.layers:
        if layer.quantized and layer.node.op_type == "ConvTranspose":
            text = "is a quantized ConvTranspose; TensorRT-RTX 1.7 runs it in float behind its Q/DQ pairs"
            yield advice("transposed", layer.node, text, "leave it in float unless the engine's layers show it in Int8")


def few_channels(graph: Graph) -> Iterator[Finding]:
    """Too few input channels to fill an INT8 instruction."""
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
        if channels < FEWEST and not depthwise:
            text = f"is to run in INT8 on {channels} input channels; below {FEWEST} float is often faster"
            yield advice("few-channels", layer.node, text, "leave it in float unless measured faster")


def matrix_vector(graph: Graph) -> Iterator[Finding]:
    """A product of one row: it waits for its weights, not for arithmetic."""
    products = [layer for layer in graph.layers if layer.quantized and layer.node.op_type in ("Gemm", "MatMul")]
    shapes = static_shapes(graph.proto, graph.opset) if products else {}
    for layer in products:
        shape = shapes.get(next(iter(layer.node.output), ""), ())
        rows = shape[:-1] if layer.weight == 1 else (None,)
        if shape and all(size == 1 for size in rows):
            text = "is to run in INT8 on one row; a matrix times a vector is often faster in float"
            yield advice("matrix-vector", layer.node, text, "leave it in float unless measured faster")


def batch_norm(graph: Graph) -> Iterator[Finding]:
    """A BatchNormalization behind a quantized layer: the weights were quantized before it was folded into them."""
    layers = {id(layer.node): layer for layer in graph.layers}
    for node in graph.nodes:
        if not is_a(node, "BatchNormalization"):
            continue
        before = _branch(graph, argument(node, 0)).maker
        layer = layers.get(id(before)) if before is not None else None
        if layer is not None and any(layer.operands):
            text = f"follows the quantized {layer.node.op_type} {title(layer.node)}: one more step on its whole output"
            yield advice("batch-norm", node, text, "fold it into the weights, then quantize")


def split_activation(graph: Graph) -> Iterator[Finding]:
    """A pair between a layer and its activation: the two are rounded apart instead of run as one."""
    for node in graph.pairs:
        maker = graph.maker(argument(node, 0)) if is_a(node, QUANTIZE) else None
        if maker is None or not is_a(maker, *CONVS, "Gemm", "MatMul", "Add", "BatchNormalization"):
            continue
        pairs = [dq for dq in graph.users(next(iter(node.output), "")) if is_a(dq, DEQUANTIZE)]
        readers = [reader for dq in pairs for name in dq.output for reader in graph.users(name)]
        after = next((reader for reader in readers if is_a(reader, *ACTIVATIONS)), None)
        if after is not None:
            text = f"stands between {maker.op_type} {title(maker)} and its {after.op_type}, which run as one without it"
            yield advice("split-activation", node, text, f"move the pair behind {title(after)}")


def residual(graph: Graph) -> Iterator[Finding]:
    """A sum that runs as part of its Conv takes that Conv's branch in float and the other one from a pair."""
    quantized = {id(layer.node) for layer in graph.layers if layer.quantized and layer.node.op_type == "Conv"}
    for node in graph.nodes:
        if not is_a(node, "Add") or any(_is_stored(graph, name) for name in node.input):
            continue
        branches = [_branch(graph, name) for name in node.input]
        convs = [branch for branch in branches if id(branch.maker) in quantized]
        if not convs:
            continue
        shortcut = next((branch for branch in branches if branch not in convs), convs[-1])
        if convs[0].quantized and (shortcut.quantized or shortcut not in convs):
            text = f"adds the rounded output of its Conv {convs[0].name}"
            yield advice("residual", node, text, f"take away the pair between {convs[0].name} and it")
        elif not any(branch.quantized for branch in branches):
            text = f"reads its shortcut (from {shortcut.name}) in float"
            yield advice("residual", node, text, "put a Q/DQ pair on the shortcut, the same as its other readers have")


@dataclass(frozen=True)
class _Branch:
    """Where a tensor comes from, behind a pair if there is one."""

    maker: NodeProto | None
    quantized: bool

    @property
    def name(self) -> str:
        return title(self.maker) if self.maker is not None else "an input"


def _branch(graph: Graph, name: str) -> _Branch:
    pair: Quantizer | None = graph.quantizer(name)
    if pair is None:
        return _Branch(graph.maker(graph.source(name)), False)
    return _Branch(graph.maker(argument(pair.q, 0)) if pair.q is not None else None, True)


def _is_stored(graph: Graph, name: str) -> bool:
    return any(graph.constant(root) is not None for root, _ in graph.roots(name))


def _output_axis(layer: Layer, rank: int) -> int:
    """The axis of a layer's weight that counts the channels of its output."""
    if layer.node.op_type == "MatMul":
        return rank - (1 if layer.weight == 1 else 2)
    if layer.node.op_type == "Gemm":
        return 0 if attribute(layer.node, "transB", 0) else 1
    return 0 if layer.node.op_type == "Conv" else 1
