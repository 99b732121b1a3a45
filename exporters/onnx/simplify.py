"""Folds constants and BatchNorm in a graph, so that quantization finds the weights of convolutions."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper

from allweather.exporters.onnx.walk import remove_unused
from allweather.runtimes.engines.onnx import SEVERITY_FATAL, onnxruntime_errors
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.leftovers import temporary_folder

with isolated_imports():
    import onnxruntime


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph as ONNX Runtime optimizes it by rules that hold for every engine.

    Where ONNX Runtime adds operators of its own, or cannot read the graph, only Constant nodes become initializers.
    """
    plain = _constants_to_initializers(model)
    with temporary_folder() as folder:
        file = Path(folder, "simplified.onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SEVERITY_FATAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(file)
        try:
            onnxruntime.InferenceSession(plain.SerializeToString(), options, providers=["CPUExecutionProvider"])
            simplified = onnx.load(file)
        except onnxruntime_errors():
            return plain
    if any(node.domain not in ("", "ai.onnx") for node in simplified.graph.node):
        return plain
    own = [each for each in simplified.opset_import if each.domain in ("", "ai.onnx")]
    del simplified.opset_import[:]
    simplified.opset_import.extend(own)
    del simplified.graph.value_info[:]
    return simplified


def _constants_to_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with its Constant nodes as initializers."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph, nodes = plain.graph, []
    for node in graph.node:
        tensors = [each.t for each in node.attribute if each.name == "value" and each.HasField("t")]
        if node.op_type == "Constant" and tensors:
            graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensors[0]), node.output[0]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    remove_unused(graph)
    return plain
