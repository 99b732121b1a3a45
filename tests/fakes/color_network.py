"""A very small ONNX model: the mean color of an image times a matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper


def color_network(matrix: npt.NDArray[np.float32]) -> bytes:
    """Returns the ONNX graph: uint8 [n, 8, 8, 3] -> float32 [n, classes], for a matrix [3, classes]."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["color"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["color", "matrix"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", matrix.shape[1]])],
        [onnx.numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
