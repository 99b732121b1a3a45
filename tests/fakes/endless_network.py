"""A hostile ONNX model: one file of 600 bytes that computes for longer than the universe has existed."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def endless_network(classes: int, side: int) -> bytes:
    """Returns the ONNX graph: uint8 [n, side, side, 3] -> float32 [n, classes], by a Loop of 2**62 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Sqrt", ["value"], ["next_value"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n", classes]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_value", TensorProto.FLOAT, ["n", classes]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["color"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["color", "matrix"], ["logits"]),
            helper.make_node("Loop", ["rounds", "yes", "logits"], ["result"], body=body),
        ],
        "endless",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", side, side, 3])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["n", classes])],
        [
            numpy_helper.from_array(np.ones((3, classes), np.float32), "matrix"),
            numpy_helper.from_array(np.array(2**62, np.int64), "rounds"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
