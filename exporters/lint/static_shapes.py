"""Shapes in a graph, inferred without touching its weights."""

from __future__ import annotations

import onnx.helper
import onnx.shape_inference
from onnx import GraphProto

FEW = 64  # numbers of an initializer that may be a shape itself


def static_shapes(graph: GraphProto, opset: int) -> dict[str, tuple[int | None, ...]]:
    """The shape of each tensor that is known; None for a dimension that is not. Empty where inference fails.

    Args:
        graph: its weights may lie outside the file.
        opset: version of the standard operators.
    """
    try:
        bones = _without_weights(graph)
        domains = sorted({node.domain for node in graph.node} - {"", "ai.onnx"})
        opsets = [onnx.helper.make_opsetid("", opset), *(onnx.helper.make_opsetid(domain, 1) for domain in domains)]
        found = onnx.shape_inference.infer_shapes(onnx.helper.make_model(bones, opset_imports=opsets)).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError):
        return {}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim
        )
        for value in (*found.value_info, *found.input, *found.output)
    }


def _without_weights(graph: GraphProto) -> GraphProto:
    """The same graph, in which weights are inputs: their shapes are needed, and copying them takes long."""
    bones = GraphProto(name="bones")
    bones.node.extend(graph.node)
    bones.input.extend(graph.input)
    bones.output.extend(graph.output)
    bones.value_info.extend(graph.value_info)
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if sum(tensor.dims) <= FEW and tensor.ByteSize() <= 16 * FEW:
            bones.initializer.append(tensor)
        elif tensor.name not in given:
            bones.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return bones
