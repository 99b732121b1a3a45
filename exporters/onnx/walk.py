"""Walks through ONNX graphs: all graphs and constants of a model, and what no output needs."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields a graph and the graphs inside its nodes, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from all_graphs(inner)


def all_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yields all constants of a model: initializers, and the values of Constant nodes."""
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def remove_unused(graph: onnx.GraphProto) -> None:
    """Removes the nodes and constants that no output needs, in place."""
    needed = {each.name for each in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _read_by(node)
    stored = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(stored)


def _read_by(node: onnx.NodeProto) -> set[str]:
    """Returns the names of all tensors that a node reads, also in graphs inside it."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for each in all_graphs(inner):
                names |= {name for one in each.node for name in one.input} | {value.name for value in each.output}
    return names
