"""Makes the batch of a graph dynamic where it is fixed: in the input, and in constants that shapes are made of."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from allweather.exporters.foreign.facts import constants
from allweather.exporters.onnx.simplify import simplify


def with_sizes(model: onnx.ModelProto, batch: int | str, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Returns the model with an input of these sizes, and without the shapes that followed from others.

    Args:
        model: The model.
        batch: Number of images in a call, or the name of a dynamic one.
        shape: The other three sizes.
    """
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    graph = sized.graph
    tensor = graph.input[0].type.tensor_type
    value = helper.make_tensor_value_info(graph.input[0].name, tensor.elem_type, [batch, *shape])
    outputs = [(each.name, each.type.tensor_type.elem_type) for each in graph.output]
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(value)
    graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in outputs)
    return sized


def with_dynamic_batch(model: onnx.ModelProto, batch: int, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Returns the model with constants that hold its batch replaced; whether it computes the same is to be checked.

    In a Reshape, the first size becomes -1 and the others are those that follow from the shapes. A constant that is
    concatenated to each image, as the class token of a vision transformer, is repeated for each.

    Args:
        model: The model, with a batch that is fixed somewhere.
        batch: That batch.
        shape: The other three sizes of the input.
    """
    fixed = simplify(with_sizes(model, batch, shape))
    shapes = _shapes(fixed)
    known = constants(fixed)
    changed = onnx.ModelProto()
    changed.CopyFrom(fixed)
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(changed.graph.node):
        if node.op_type == "Reshape" and node.input[1] in known and node.input[0] not in known:
            target = shapes.get(node.output[0])
            if target is not None and len(target) > 0:
                name = f"{node.output[0]}_shape_{index}"
                values = np.array([-1, *target[1:]], np.int64)
                changed.graph.initializer.append(numpy_helper.from_array(values, name))
                node.input[1] = name
        elif node.op_type == "Expand" and node.input[1] in known and node.input[0] not in known:
            values = known[node.input[1]].copy()
            if len(values) == len(shapes.get(node.input[0], ())) and values[0] == batch:
                values[0] = 1  # as large as it is
                name = f"{node.output[0]}_shape_{index}"
                changed.graph.initializer.append(numpy_helper.from_array(values, name))
                node.input[1] = name
        elif node.op_type == "Concat" and _axis(node) != 0:
            nodes += _repeat_constants(changed.graph, node, known, batch, index)
        nodes.append(node)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return with_sizes(changed, "n", shape)


def _repeat_constants(
    graph: onnx.GraphProto, node: onnx.NodeProto, known: dict[str, np.ndarray], batch: int, index: int
) -> list[onnx.NodeProto]:
    """Returns nodes that repeat the constants among the inputs of a Concat as often as there are images."""
    images = next((name for name in node.input if name not in known), None)
    repeated = [name for name in node.input if name in known and known[name].ndim > 1 and len(known[name]) == batch]
    if images is None or not repeated:
        return []
    stem = f"{node.output[0]}_batch_{index}"
    stored = {f"{stem}_first": np.array([0], np.int64)}
    added = [
        helper.make_node("Shape", [images], [f"{stem}_shape"], name=f"{stem}_shape"),
        helper.make_node("Gather", [f"{stem}_shape", f"{stem}_first"], [f"{stem}_n"], name=f"{stem}_n", axis=0),
    ]
    for number, name in enumerate(dict.fromkeys(repeated)):
        single, ones = f"{stem}_{number}_single", f"{stem}_{number}_ones"
        stored[single] = known[name][:1]
        stored[ones] = np.ones(known[name].ndim - 1, np.int64)
        sizes, output = f"{stem}_{number}_sizes", f"{stem}_{number}_repeated"
        added.append(helper.make_node("Concat", [f"{stem}_n", ones], [sizes], name=sizes, axis=0))
        added.append(helper.make_node("Expand", [single, sizes], [output], name=output))
        node.input[:] = [output if each == name else each for each in node.input]
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in stored.items())
    return added


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all tensors that shape inference finds completely."""
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    found = {}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _axis(node: onnx.NodeProto) -> int:
    return next((each.i for each in node.attribute if each.name == "axis"), 0)
