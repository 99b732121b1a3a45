"""Small Q/DQ networks, built node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper


class Net:
    """A network under construction: each method adds nodes, and returns the name of the last one's output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[TensorProto] = []
        self.rng = np.random.default_rng(3)

    def store(self, name: str, array: npt.NDArray[Any]) -> str:
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def pair(self, name: str, x: str, scale: object = 0.05, zero: object = 0, kind: type = np.int8) -> str:
        """Adds an activation's Q and DQ, named NAME_q and NAME_dq."""
        s = self.store(f"{name}_scale", np.asarray(scale, np.float32))
        z = self.store(f"{name}_zero", np.full(np.shape(scale), zero, kind))
        return self.add("DequantizeLinear", f"{name}_dq", self.add("QuantizeLinear", f"{name}_q", x, s, z), s, z)

    def weight(self, name: str, shape: tuple[int, ...], axis: int = 0, *, stored: bool = True) -> str:
        """Adds a weight: int8 with the DQ NAME_wdq if `stored`, else float with the Q NAME_wq and the DQ NAME_wdq."""
        s = self.store(f"{name}_wscale", np.full(shape[axis], 0.01, np.float32))
        z = self.store(f"{name}_wzero", np.zeros(shape[axis], np.int8))
        if stored:
            w = self.store(f"{name}_w", self.rng.integers(-90, 90, shape).astype(np.int8))
        else:
            w = self.store(f"{name}_w", self.rng.normal(size=shape).astype(np.float32))
            w = self.add("QuantizeLinear", f"{name}_wq", w, s, z, axis=axis)
        return self.add("DequantizeLinear", f"{name}_wdq", w, s, z, axis=axis)

    def bias(self, name: str, size: int) -> str:
        return self.store(f"{name}_b", self.rng.normal(size=size).astype(np.float32))

    def conv(self, name: str, x: str, shape: tuple[int, ...], *, stored: bool = True, **attributes: object) -> str:
        """Adds a Conv with a bias and a quantized weight; its input is quantized already."""
        weight, pads = self.weight(name, shape, stored=stored), [shape[-1] // 2] * 4
        return self.add("Conv", name, x, weight, self.bias(name, shape[0]), pads=pads, **attributes)

    def model(self, out: str, shape: tuple[object, ...], opset: int = 18) -> ModelProto:
        """Returns the model, from the input `x` of this shape to `out`."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        y = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    @staticmethod
    def node(model: ModelProto, name: str) -> onnx.NodeProto:
        return next(node for node in model.graph.node if node.name == name)

    @staticmethod
    def stored_in(model: ModelProto, name: str) -> TensorProto:
        return next(tensor for tensor in model.graph.initializer if tensor.name == name)

    @classmethod
    def replace(cls, model: ModelProto, name: str, array: npt.ArrayLike) -> None:
        cls.stored_in(model, name).CopyFrom(numpy_helper.from_array(np.asarray(array), name))


@pytest.fixture(scope="session")
def new_net() -> type[Net]:
    return Net
