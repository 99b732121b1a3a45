"""Rewrites a model's graph so that it takes uint8 NHWC RGB images and gives logits, as every model of a bundle does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from allweather.exporters.foreign.facts import OutputFacts
from allweather.exporters.foreign.model_input import ModelInput
from allweather.exporters.onnx.convert import INPUT, OUTPUT
from allweather.exporters.onnx.walk import all_graphs, remove_unused
from allweather.runtimes.preprocess import LUMA_WEIGHTS

TENSOR_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
PREFIX = "allweather_"  # of the tensors that are added
FLOOR = 1e-7  # probabilities below it count as this one: fp16 has no smaller ones


def wrap(
    model: onnx.ModelProto, taken: ModelInput, output: OutputFacts, *, is_probability: bool, outputs: int
) -> onnx.ModelProto:
    """Returns the model with the input `images` and the output `logits`.

    Args:
        model: The model, whose batch is dynamic.
        taken: What it takes.
        output: Which of its tensors holds the logits.
        is_probability: Whether that tensor holds probabilities, as a Softmax of other operators gives them; their
            logarithm is then the logits.
        outputs: Number of its outputs for each image, one for each class; a single one is the logit of the second of
            two classes.
    """
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(model)
    graph = wrapped.graph
    _rename_taken_names(graph)
    name = graph.input[0].name
    logits = _renamed(output.logits)
    builder = _Builder()
    builder.add_input(taken, name)
    if len(builder.nodes) == 0:
        _rename_everywhere(graph, {name: INPUT})
    before, builder.nodes = builder.nodes, []
    builder.add_output(logits, is_probability=is_probability, outputs=outputs)
    nodes = [*before, *graph.node, *builder.nodes]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:], wrapped.metadata_props[:]
    graph.node.extend(nodes)
    graph.initializer.extend(builder.stored)
    shape = ["n", taken.spec.height, taken.spec.width, 3]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", max(outputs, 2)]))
    remove_unused(graph)
    return wrapped


class _Builder:
    """Nodes that are added to a graph, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[TensorProto] = []

    def add_input(self, taken: ModelInput, name: str) -> None:
        """Adds what makes the model's input of images; the last node gives the tensor `name`."""
        kind, spec = TENSOR_TYPES[taken.element], taken.spec
        steps: list[tuple[str, npt.NDArray[np.generic] | None, dict[str, object]]] = []
        as_it_is = taken.element == "uint8" and taken.layout == "nhwc" and not taken.gray
        if not as_it_is:  # TensorRT takes a uint8 input, but does not transpose one
            steps.append(("Cast", None, {"to": TensorProto.FLOAT}))
        if taken.element != "uint8":
            if any(spec.mean):
                steps.append(("Sub", 255 * np.array(spec.mean, np.float32), {}))
            divisor = 255 * np.array(spec.std) / taken.pixels
            if (divisor != 1).any():
                steps.append(("Div", divisor.astype(np.float32), {}))
        if taken.gray:
            steps.append(("MatMul", np.array(LUMA_WEIGHTS, np.float32)[:, None], {}))
        elif taken.channels == "bgr":
            steps.append(("Gather", np.array([2, 1, 0]), {"axis": 3}))
        if taken.layout == "nchw":
            steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))
        if taken.element == "uint8" and taken.gray:  # the cast cuts fractions off
            steps.append(("Add", np.array(0.5, np.float32), {}))
        if taken.element == "float16" or (taken.element == "uint8" and not as_it_is):
            steps.append(("Cast", None, {"to": kind}))
        self._chain(steps, INPUT, name)

    def add_output(self, logits: str, *, is_probability: bool, outputs: int) -> None:
        """Adds what makes the bundle's output, float32 [n, classes], of a tensor [n, outputs] or [n, outputs, 1, 1]."""
        steps: list[tuple[str, npt.NDArray[np.generic] | None, dict[str, object]]] = [("Flatten", None, {"axis": 1})]
        steps.append(("Cast", None, {"to": TensorProto.FLOAT}))
        if is_probability:
            steps += [("Add", np.array(FLOOR, np.float32), {}), ("Log", None, {})]
        if outputs == 1:
            steps.append(("Mul", np.array([[0, 1]], np.float32), {}))
        self._chain(steps, logits, OUTPUT)

    def _chain(
        self, steps: list[tuple[str, npt.NDArray[np.generic] | None, dict[str, object]]], first: str, last: str
    ) -> None:
        """Adds nodes that follow each other."""
        source = first
        for index, (kind, constant, attributes) in enumerate(steps):
            stem = f"{PREFIX}{last}_{index}"
            inputs = [source]
            if constant is not None:
                self.stored.append(numpy_helper.from_array(constant, f"{stem}_constant"))
                inputs.append(f"{stem}_constant")
            source = last if index == len(steps) - 1 else stem
            self.nodes.append(helper.make_node(kind, inputs, [source], name=f"{stem}_{kind.lower()}", **attributes))


def _renamed(name: str) -> str:
    return f"original_{name}" if name in (INPUT, OUTPUT) or name.startswith(PREFIX) else name


def _rename_taken_names(graph: onnx.GraphProto) -> None:
    """Renames tensors that are called as those that are added."""
    names = {name for inner in all_graphs(graph) for node in inner.node for name in (*node.input, *node.output)}
    names |= {each.name for inner in all_graphs(graph) for each in (*inner.input, *inner.output, *inner.initializer)}
    _rename_everywhere(graph, {name: _renamed(name) for name in names if _renamed(name) != name})


def _rename_everywhere(graph: onnx.GraphProto, new: dict[str, str]) -> None:
    for inner in all_graphs(graph):
        for node in inner.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
        for each in (*inner.input, *inner.output, *inner.initializer):
            each.name = new.get(each.name, each.name)
