"""Shape inference for a graph, without reading its weights."""

from __future__ import annotations

import onnx.helper
import onnx.shape_inference
from onnx import GraphProto

MAX_SHAPE_VALUES = 64  # an initializer with at most this many values may itself be a shape, so it is kept


def static_shapes(graph: GraphProto, opset: int) -> dict[str, tuple[int | None, ...]]:
    """Returns the shape of each tensor that is known, with None for unknown dimensions; empty if inference fails.

    Args:
        graph: The graph; its weights may be stored outside the file.
        opset: Version of the standard operators.
    """
    try:
        skeleton = _without_weights(graph)
        domains = sorted({node.domain for node in graph.node} - {"", "ai.onnx"})
        opsets = [onnx.helper.make_opsetid("", opset), *(onnx.helper.make_opsetid(domain, 1) for domain in domains)]
        inferred = onnx.shape_inference.infer_shapes(onnx.helper.make_model(skeleton, opset_imports=opsets)).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError):
        return {}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }


def _without_weights(graph: GraphProto) -> GraphProto:
    """Returns the same graph with its weights as inputs: only their shapes are needed, and copying them is slow."""
    skeleton = GraphProto(name="skeleton")
    skeleton.node.extend(graph.node)
    skeleton.input.extend(graph.input)
    skeleton.output.extend(graph.output)
    skeleton.value_info.extend(graph.value_info)
    inputs = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if sum(tensor.dims) <= MAX_SHAPE_VALUES and tensor.ByteSize() <= 16 * MAX_SHAPE_VALUES:
            skeleton.initializer.append(tensor)
        elif tensor.name not in inputs:
            skeleton.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return skeleton
