"""Makes the batch of a graph dynamic where it is fixed: in the input, and in constants that shapes are made of."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference

from allweather.exporters.foreign.facts import constants
from allweather.exporters.onnx.simplify import simplify

FACTOR = 7  # the batch for which the axis of the images is found out is so many times the fixed one
MAX_SHAPE_VALUES = 64  # of a constant that may be a shape


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

    In a Reshape, the size that counts the images becomes -1, and the others are those that follow from the shapes. A
    constant that is concatenated to each image, as the class token of a vision transformer, is repeated for each.

    Args:
        model: The model, with a batch that is fixed somewhere.
        batch: That batch.
        shape: The other three sizes of the input.
    """
    changed = simplify(with_sizes(model, batch, shape))
    graph, known = changed.graph, constants(changed)
    skeleton = _without_weights(changed)
    fixed = _shapes(skeleton, list(graph.node), batch)
    nodes, index = list(graph.node), 0
    many: dict[str, tuple[int, ...]] = {}
    before_images: dict[str, int] = {}
    while index < len(nodes):
        node, target = nodes[index], None
        for name in node.output:
            before_images[name] = max((before_images.get(each, 1) for each in node.input), default=1)
        if node.op_type == "Reshape" and node.input[1] in known and node.input[0] not in known:
            many = many or _shapes(skeleton, nodes, FACTOR * batch)
            target = _reshape_target(node, fixed, many, before_images)
        elif node.op_type == "Expand" and node.input[1] in known and node.input[0] not in known:
            target = np.array(known[node.input[1]], np.int64)
            if len(target) == len(fixed.get(node.input[0], ())) and target[0] == batch:
                target[0] = 1  # as large as it is
        elif node.op_type == "Concat" and _axis(node) != 0:
            added, stored = _repeat_constants(node, known, batch, index)
            nodes[index:index] = added
            index += len(added)
            graph.initializer.extend(stored)
            skeleton.graph.initializer.extend(stored)
            many = {} if added else many
        if target is not None:
            stored = [numpy_helper.from_array(target, f"{node.output[0]}_shape_{index}")]
            node.input[1] = stored[0].name
            graph.initializer.extend(stored)
            skeleton.graph.initializer.extend(stored)
            many = {}
        index += 1
    changed = _with_nodes(changed, nodes)
    return with_sizes(changed, "n", shape)


def _reshape_target(
    node: onnx.NodeProto,
    fixed: dict[str, tuple[int, ...]],
    many: dict[str, tuple[int, ...]],
    before_images: dict[str, int],
) -> npt.NDArray[np.int64] | None:
    """Returns the sizes of a Reshape, with -1 for the one that counts the images; None if no image is in it.

    A Reshape keeps the order of the values, so the images are counted after as many others as in its input. Where two
    sizes fit, it is the first one, but not the last of all, which holds features.

    Args:
        node: The Reshape.
        fixed: Shapes of all tensors for the fixed batch.
        many: Those for another batch.
        before_images: How many others of a size that counts images are counted before them; filled in here.
    """
    source, other, after = fixed.get(node.input[0]), many.get(node.input[0]), fixed.get(node.output[0])
    if not source or not other or not after or source == other or len(source) != len(other):
        return None
    axis = next(index for index, (one, more) in enumerate(zip(source, other, strict=True)) if one != more)
    outer = math.prod(source[:axis]) * before_images.get(node.input[0], 1)
    places = [index for index in range(len(after)) if math.prod(after[:index]) == outer]
    place = places[0] if places else max(index for index in range(len(after)) if math.prod(after[:index]) <= outer)
    if place == len(after) - 1 and place > 0:
        place -= 1
    before_images[node.output[0]] = max(1, outer // math.prod(after[:place]))
    target = np.array(after, np.int64)
    target[place] = -1
    return target


def _repeat_constants(
    node: onnx.NodeProto, known: dict[str, np.ndarray], batch: int, index: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Makes a Concat repeat the constants among its inputs as often as there are images.

    Returns:
        (nodes to put before it, their constants); both are empty if it has no such constants.
    """
    images = next((name for name in node.input if name not in known), None)
    repeated = [name for name in node.input if name in known and known[name].ndim > 1 and len(known[name]) == batch]
    if images is None or not repeated:
        return [], []
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
    return added, [numpy_helper.from_array(values, name) for name, values in stored.items()]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with its weights as inputs, so that inferring shapes does not copy them."""
    graph = onnx.GraphProto(name="skeleton")
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= MAX_SHAPE_VALUES:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)


def _with_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del changed.graph.node[:]
    changed.graph.node.extend(copies)
    return changed


def _shapes(skeleton: onnx.ModelProto, nodes: list[onnx.NodeProto], batch: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all tensors that shape inference finds completely, for a number of images."""
    model = _with_nodes(skeleton, nodes)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    found = {}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _axis(node: onnx.NodeProto) -> int:
    return next((each.i for each in node.attribute if each.name == "axis"), 0)
