"""An ONNX graph as the Q/DQ rules look at it: who makes a tensor, who reads it, where its Q/DQ pair is.

A Q/DQ pair is QuantizeLinear, then DequantizeLinear; weights that are stored as int8 have the second alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx.numpy_helper
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from allweather.runtimes.errors import EngineError, first_line, printable

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# TensorRT-RTX 1.7.1 moves a pair past each of these, tried one by one; not past Relu, Clip, Resize or an average
PASSES = frozenset((
    "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MaxPool", "Pad",
    "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
DOMAINS = ("", "ai.onnx", "com.microsoft")  # the last is ONNX Runtime's own copy of the same two operators


@dataclass(frozen=True)
class Quantizer:
    """The Q/DQ pair that a tensor comes from.

    Attributes:
        dq: the DequantizeLinear.
        q: its QuantizeLinear; None for a constant that is stored quantized, or for a graph input.
        stored: whether a constant is quantized, a weight or a bias.
        axis: of the scales, counted at the reader; None where a node between changes the shape.
        dims: of the constant, at the reader; None where a node between changes them, or nothing is stored.
    """

    dq: NodeProto
    q: NodeProto | None
    stored: bool
    axis: int | None
    dims: tuple[int, ...] | None


@dataclass(frozen=True)
class Layer:
    """A Conv, ConvTranspose, Gemm or MatMul and where its two operands come from.

    Attributes:
        node: itself.
        operands: the pair of each; None for one that comes in float.
        weight: which operand is constant, 0 or 1; None where both are computed.
    """

    node: NodeProto
    operands: tuple[Quantizer | None, Quantizer | None]
    weight: int | None

    @property
    def quantized(self) -> bool:
        """Whether both operands come from a pair."""
        return None not in self.operands


class Graph:
    """Look-ups in one graph.

    Args:
        proto: the graph.
        opset: version of the standard operators.
        outer: the graph that this one is a branch or a loop's body of.
    """

    def __init__(self, proto: GraphProto, opset: int, outer: Graph | None = None) -> None:
        self.proto, self.opset, self.outer = proto, opset, outer
        self.nodes: tuple[NodeProto, ...] = tuple(proto.node)
        self.inputs = frozenset(value.name for value in proto.input)
        self.outputs = frozenset(value.name for value in proto.output)
        self._stored: dict[str, TensorProto] = {tensor.name: tensor for tensor in proto.initializer}
        self._makers: dict[str, NodeProto] = {name: node for node in self.nodes for name in node.output if name}
        self._users: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys((*node.input, *_names_used_inside(node))):
                self._users[name].append(node)

    @cached_property
    def pairs(self) -> tuple[NodeProto, ...]:
        """All QuantizeLinear and DequantizeLinear nodes, in order."""
        return tuple(node for node in self.nodes if is_a(node, QUANTIZE) or is_a(node, DEQUANTIZE))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All nodes of `LAYERS`, in order."""
        return tuple(self._layer(node) for node in self.nodes if is_a(node, *LAYERS))

    def maker(self, name: str) -> NodeProto | None:
        """The node that computes a tensor; None for an input or an initializer."""
        return self._makers.get(name) or (self.outer.maker(name) if self.outer and not self._has(name) else None)

    def users(self, name: str) -> tuple[NodeProto, ...]:
        """The nodes that read a tensor, those with a branch or body that does among them."""
        return tuple(self._users.get(name, ()))

    def constant(self, name: str) -> TensorProto | None:
        """A tensor that is stored in the file: an initializer, or what a Constant node holds."""
        if name in self._stored:
            return self._stored[name]
        maker = self._makers.get(name)
        if maker is not None and maker.op_type == "Constant":
            return next((item.t for item in maker.attribute if item.name == "value" and item.HasField("t")), None)
        return self.outer.constant(name) if self.outer and not self._has(name) else None

    def values(self, name: str) -> npt.NDArray[Any] | None:
        """The numbers of a stored tensor; None where it is computed, or lies outside the file.

        Raises:
            EngineError: it is damaged.
        """
        tensor = self.constant(self.source(name))
        if tensor is None or is_external(tensor):
            return None
        try:
            array: npt.NDArray[Any] = np.asarray(onnx.numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
            raise EngineError(
                f"the tensor {one_line(name)} is damaged ({first_line(error)}); export it again"
            ) from error
        return array

    def source(self, name: str) -> str:
        """The tensor that this one is a copy of, through Identity nodes; itself where it is none."""
        seen = set()
        while name not in seen and (maker := self.maker(name)) is not None and maker.op_type == "Identity":
            seen.add(name)
            name = argument(maker, 0)
        return name

    @staticmethod
    def moves(node: NodeProto) -> bool:
        """Whether a node hands on the numbers of its input as they are, in another place or fewer."""
        return is_a(node, *PASSES)

    def roots(self, name: str) -> Iterator[tuple[str, tuple[NodeProto, ...]]]:
        """Tensors that this one holds the numbers of, each with the nodes of `PASSES` on the way, from its end."""
        seen: set[str] = set()
        waiting: list[tuple[str, tuple[NodeProto, ...]]] = [(name, ())]
        while waiting:
            name, way = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            maker = self.maker(name)
            if maker is None or not self.moves(maker):
                yield name, way
                continue
            sources = maker.input if maker.op_type == "Concat" else maker.input[:1]
            waiting += [(source, (*way, maker)) for source in reversed(sources)]

    def quantizer(self, name: str) -> Quantizer | None:
        """The pair that a tensor comes from; None if any part of it comes in float."""
        found = []
        for root, way in self.roots(name):
            dq = self.maker(root)
            if dq is None or not is_a(dq, DEQUANTIZE):
                return None
            found.append((dq, way))
        if not found:  # a circle: no valid graph, but not our bug
            return None
        dq, way = found[0]
        q = self.quantize_of(dq)
        constant, moved = self._constant_below(q if q is not None else dq)
        dims = tuple(constant.dims) if constant is not None and not moved else None
        return Quantizer(dq, q, constant is not None, *_behind(attribute(dq, "axis", 1), dims, way))

    def quantize_of(self, dq: NodeProto) -> NodeProto | None:
        """The QuantizeLinear that a DequantizeLinear undoes."""
        root, _ = next(self.roots(argument(dq, 0)), ("", ()))
        q = self.maker(root)
        return q if q is not None and is_a(q, QUANTIZE) else None

    def _constant_below(self, node: NodeProto) -> tuple[TensorProto | None, bool]:
        """The constant that a Q or DQ works on, and whether a node between may have changed its shape."""
        root, way = next(self.roots(argument(node, 0)), ("", ()))
        return self.constant(root), any(between.op_type != "Identity" for between in way)

    def _layer(self, node: NodeProto) -> Layer:
        first, second = argument(node, 0), argument(node, 1)
        pairs = self.quantizer(first), self.quantizer(second)
        stored = [
            pair.stored if pair else any(self.constant(root) is not None for root, _ in self.roots(name))
            for name, pair in zip((first, second), pairs, strict=True)
        ]
        return Layer(node, pairs, 1 if stored[1] else 0 if stored[0] and node.op_type == "MatMul" else None)

    def _has(self, name: str) -> bool:
        return name in self.inputs or name in self._stored or name in self._makers


def graphs(model: ModelProto) -> list[Graph]:
    """The model's graph, and the branches and bodies of its If, Loop and Scan nodes."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    found = [Graph(model.graph, opset)]
    for graph in found:  # grows as inner graphs are met
        found += [Graph(inner, opset, graph) for node in graph.nodes for inner in _inner(node)]
    return found


def is_a(node: NodeProto, *kinds: str) -> bool:
    """Whether a node is one of these standard operators."""
    return node.op_type in kinds and node.domain in DOMAINS


def argument(node: NodeProto, number: int) -> str:
    """The name of an input; empty where it is left out."""
    name: str = node.input[number] if number < len(node.input) else ""
    return name


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute."""
    found: int = next((item.i for item in node.attribute if item.name == name), default)
    return found


def title(node: NodeProto) -> str:
    """What a person can find a node by: its name, or what it makes if it has none."""
    return one_line(node.name or f"{node.op_type} that makes {next(iter(node.output), 'nothing')}")


def one_line(text: str | bytes) -> str:
    """A word or a sentence with words of a file in it, for a person; protobuf hands on as bytes what is no UTF-8."""
    return printable(text if isinstance(text, str) else repr(text))


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's numbers lie in another file."""
    outside: bool = tensor.data_location == TensorProto.EXTERNAL
    return outside


def _inner(node: NodeProto) -> Iterator[GraphProto]:
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def _names_used_inside(node: NodeProto) -> Iterator[str]:
    """Names that the branches or the body of a node read, its own among them."""
    waiting = list(_inner(node))
    while waiting:
        for below in waiting.pop().node:
            yield from below.input
            waiting += _inner(below)


def _behind(
    axis: int, dims: tuple[int, ...] | None, way: tuple[NodeProto, ...]
) -> tuple[int | None, tuple[int, ...] | None]:
    """Where an axis lies, and how the dimensions do, after the nodes of `way`, the last of which is nearest."""
    if dims is None:
        return None, None
    axis = axis + len(dims) if axis < 0 else axis
    for node in reversed(way):
        if node.op_type == "Transpose":
            order = next((list(item.ints) for item in node.attribute if item.name == "perm"), [*range(len(dims))][::-1])
            if sorted(order) != list(range(len(dims))) or axis not in order:
                return None, None
            axis, dims = order.index(axis), tuple(dims[number] for number in order)
        elif node.op_type not in ("Identity", "Dropout"):
            return None, None
    return axis, dims
