"""An ONNX graph as the lint rules need it: the producer of a tensor, its consumers, and the Q/DQ pair it comes from.

A Q/DQ pair is a QuantizeLinear followed by a DequantizeLinear. A weight that is stored as int8 has the DequantizeLinear
only.
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

from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.text import printable

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
LAYER_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Operators that only move or select values. TensorRT-RTX 1.7.1 moves a Q/DQ pair past each of these, which was tried
# one by one. It does not move one past Relu, Clip, Resize or an average.
TRANSPARENT_OPS = frozenset((
    "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MaxPool", "Pad",
    "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
DOMAINS = ("", "ai.onnx", "com.microsoft")  # the last is ONNX Runtime's own copy of the same two operators
NodePath = tuple[NodeProto, ...]


@dataclass(frozen=True)
class QdqPair:
    """The Q/DQ pair that a tensor comes from.

    Attributes:
        dq: The DequantizeLinear.
        q: Its QuantizeLinear; None for a constant that is stored quantized, or for a graph input.
        stored: Whether the pair quantizes a constant: a weight or a bias.
        axis: Axis of the scales, as the consumer counts it; None if a node between them changes the shape.
        dims: Shape of the constant at the consumer; None if a node between them changes it, or nothing is stored.
    """

    dq: NodeProto
    q: NodeProto | None
    stored: bool
    axis: int | None
    dims: tuple[int, ...] | None


@dataclass(frozen=True)
class Layer:
    """A Conv, ConvTranspose, Gemm or MatMul, and where its two operands come from.

    Attributes:
        node: The layer's node.
        operands: The pair of each operand; None for an operand in float.
        weight: Which operand is constant, 0 or 1; None if both are computed.
    """

    node: NodeProto
    operands: tuple[QdqPair | None, QdqPair | None]
    weight: int | None

    @property
    def quantized(self) -> bool:
        """Whether both operands come from a pair."""
        return None not in self.operands


class Graph:
    """One graph, with the queries that the lint rules need.

    Args:
        proto: The graph.
        opset: Version of the standard operators.
        outer: The graph that holds this one as a branch or as the body of a loop.
    """

    def __init__(self, proto: GraphProto, opset: int, outer: Graph | None = None) -> None:
        self.proto, self.opset, self.outer = proto, opset, outer
        self.nodes: tuple[NodeProto, ...] = tuple(proto.node)
        self.inputs = frozenset(value.name for value in proto.input)
        self.outputs = frozenset(value.name for value in proto.output)
        self._stored: dict[str, TensorProto] = {tensor.name: tensor for tensor in proto.initializer}
        self._producers: dict[str, NodeProto] = {name: node for node in self.nodes for name in node.output if name}
        self._consumers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys((*node.input, *_names_used_inside(node))):
                self._consumers[name].append(node)

    @cached_property
    def qdq_nodes(self) -> tuple[NodeProto, ...]:
        """All QuantizeLinear and DequantizeLinear nodes, in the order of the graph."""
        return tuple(node for node in self.nodes if is_a(node, QUANTIZE) or is_a(node, DEQUANTIZE))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All nodes of `LAYER_OPS`, in the order of the graph."""
        return tuple(self._layer(node) for node in self.nodes if is_a(node, *LAYER_OPS))

    def producer(self, name: str) -> NodeProto | None:
        """Returns the node that computes a tensor; None for an input or an initializer."""
        return self._producers.get(name) or (self.outer.producer(name) if self.outer and not self._has(name) else None)

    def consumers(self, name: str) -> tuple[NodeProto, ...]:
        """Returns the nodes that read a tensor, including those whose branch or body reads it."""
        return tuple(self._consumers.get(name, ()))

    def constant(self, name: str) -> TensorProto | None:
        """Returns a tensor that is stored in the file: an initializer, or the value of a Constant node."""
        if name in self._stored:
            return self._stored[name]
        producer = self._producers.get(name)
        if producer is not None and producer.op_type == "Constant":
            return next((item.t for item in producer.attribute if item.name == "value" and item.HasField("t")), None)
        return self.outer.constant(name) if self.outer and not self._has(name) else None

    def values(self, name: str) -> npt.NDArray[Any] | None:
        """Returns the values of a stored tensor; None if it is computed, or stored outside the file.

        Raises:
            EngineError: The tensor is damaged, or holds no real numbers.
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
        if array.dtype.kind in "OSUc":
            raise EngineError(f"the tensor {one_line(name)} holds text or complex numbers; export the file again")
        return array

    def source(self, name: str) -> str:
        """Returns the tensor that this one is a copy of, through Identity nodes; itself if it is no copy."""
        visited = set()
        while name not in visited and (producer := self.producer(name)) is not None and producer.op_type == "Identity":
            visited.add(name)
            name = input_name(producer, 0)
        return name

    def roots(self, name: str) -> Iterator[tuple[str, NodePath]]:
        """Yields the tensors whose values this one holds, each with the transparent nodes between.

        There are several if a Concat is between, which has several inputs. The node that computes this tensor comes
        first.
        """
        visited: set[str] = set()
        waiting: list[tuple[str, NodePath]] = [(name, ())]
        while waiting:
            name, path = waiting.pop()
            if name in visited:
                continue
            visited.add(name)
            producer = self.producer(name)
            if producer is None or not is_transparent(producer):
                yield name, path
                continue
            sources = producer.input if producer.op_type == "Concat" else producer.input[:1]
            waiting += [(source, (*path, producer)) for source in reversed(sources)]

    def pair_of(self, name: str) -> QdqPair | None:
        """Returns the pair that a tensor comes from; None if any part of it comes in float."""
        pairs = []
        for root, path in self.roots(name):
            dq = self.producer(root)
            if dq is None or not is_a(dq, DEQUANTIZE):
                return None
            pairs.append((dq, path))
        if not pairs:  # the nodes form a cycle, so the graph is invalid
            return None
        dq, path = pairs[0]
        q = self.quantize_of(dq)
        constant, reshaped = self._constant_read_by(q if q is not None else dq)
        dims = tuple(constant.dims) if constant is not None and not reshaped else None
        return QdqPair(dq, q, constant is not None, *_after_path(attribute(dq, "axis", 1), dims, path))

    def quantize_of(self, dq: NodeProto) -> NodeProto | None:
        """Returns the QuantizeLinear that belongs to a DequantizeLinear."""
        root, _ = next(self.roots(input_name(dq, 0)), ("", ()))
        q = self.producer(root)
        return q if q is not None and is_a(q, QUANTIZE) else None

    def _constant_read_by(self, node: NodeProto) -> tuple[TensorProto | None, bool]:
        """Returns the constant that a Q or DQ reads, and whether a node between may have changed its shape."""
        root, path = next(self.roots(input_name(node, 0)), ("", ()))
        return self.constant(root), any(between.op_type != "Identity" for between in path)

    def _layer(self, node: NodeProto) -> Layer:
        first, second = input_name(node, 0), input_name(node, 1)
        pairs = self.pair_of(first), self.pair_of(second)
        stored = [
            pair.stored if pair else any(self.constant(root) is not None for root, _ in self.roots(name))
            for name, pair in zip((first, second), pairs, strict=True)
        ]
        return Layer(node, pairs, 1 if stored[1] else 0 if stored[0] and node.op_type == "MatMul" else None)

    def _has(self, name: str) -> bool:
        return name in self.inputs or name in self._stored or name in self._producers


def all_graphs(model: ModelProto) -> list[Graph]:
    """Returns the model's graph, and the branches and bodies of its If, Loop and Scan nodes."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    graphs = [Graph(model.graph, opset)]
    for graph in graphs:  # the list grows while inner graphs are found
        graphs += [Graph(inner, opset, graph) for node in graph.nodes for inner in _inner_graphs(node)]
    return graphs


def is_a(node: NodeProto, *op_types: str) -> bool:
    """Whether a node is one of these standard operators."""
    return node.op_type in op_types and node.domain in DOMAINS


def is_transparent(node: NodeProto) -> bool:
    """Whether a node only moves or selects values of its input, and computes nothing."""
    return is_a(node, *TRANSPARENT_OPS)


def input_name(node: NodeProto, index: int) -> str:
    """Returns the name of an input; "" if the node does not have it."""
    name: str = node.input[index] if index < len(node.input) else ""
    return name


def attribute(node: NodeProto, name: str, default: int) -> int:
    """Returns an integer attribute; `default` if the node does not set it."""
    value: int = next((item.i for item in node.attribute if item.name == name), default)
    return value


def display_name(node: NodeProto) -> str:
    """Returns the node's name for a message; if it has none, its operator and the tensor it computes."""
    return one_line(node.name or f"{node.op_type} that computes {next(iter(node.output), 'nothing')}")


def one_line(text: str | bytes) -> str:
    """Returns text from a file in printable form; protobuf returns bytes for what is not UTF-8."""
    return printable(text if isinstance(text, str) else repr(text))


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's values are stored in another file."""
    external: bool = tensor.data_location == TensorProto.EXTERNAL
    return external


def _inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def _names_used_inside(node: NodeProto) -> Iterator[str]:
    """Yields the names that the branches or the body of a node read, also those of tensors that they compute."""
    waiting = list(_inner_graphs(node))
    while waiting:
        for inner in waiting.pop().node:
            yield from inner.input
            waiting += _inner_graphs(inner)


def _after_path(axis: int, dims: tuple[int, ...] | None, path: NodePath) -> tuple[int | None, tuple[int, ...] | None]:
    """Returns axis and dimensions after the nodes of a path, whose last node is the one next to the constant."""
    if dims is None:
        return None, None
    axis = axis + len(dims) if axis < 0 else axis
    for node in reversed(path):
        if node.op_type == "Transpose":
            order = next((list(item.ints) for item in node.attribute if item.name == "perm"), [*range(len(dims))][::-1])
            if sorted(order) != list(range(len(dims))) or axis not in order:
                return None, None
            axis, dims = order.index(axis), tuple(dims[index] for index in order)
        elif node.op_type not in ("Identity", "Dropout"):
            return None, None
    return axis, dims
