"""Other precisions of a wrapped graph: float32 of a float16 one, and float16 of a float32 one."""

from __future__ import annotations

import warnings

import onnx
from onnx import TensorProto, numpy_helper, shape_inference

from allweather.exporters.onnx.walk import all_graphs, all_tensors
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.trainers.quiet_loggers import silence_loggers

with isolated_imports():
    from onnxruntime.transformers import float16

DTYPES = ("to", "dtype")  # attributes that name a type


def has_float16(model: onnx.ModelProto) -> bool:
    """Whether a model has weights in float16."""
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in all_tensors(model))


def to_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with everything in float32 that is float16; it computes the same, with less rounding."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for tensor in all_tensors(plain):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
    for graph in all_graphs(plain.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in DTYPES and attribute.i == TensorProto.FLOAT16:
                    attribute.i = TensorProto.FLOAT
    return plain


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a float32 model with everything in float16, except for its output.

    Raises:
        EngineError: It cannot be converted.
    """
    try:
        with warnings.catch_warnings(), silence_loggers("onnxruntime"):
            warnings.simplefilter("ignore")  # constants that are rounded to the smallest float16
            half: onnx.ModelProto = float16.convert_float_to_float16(
                shape_inference.infer_shapes(model), keep_io_types=True, disable_shape_infer=True, op_block_list=[]
            )
        onnx.checker.check_model(half)
    except (ValueError, KeyError, AssertionError, RuntimeError, onnx.checker.ValidationError) as error:
        raise EngineError(f"the graph cannot be converted to fp16 ({first_line(error)}); leave fp16 out") from error
    return half
