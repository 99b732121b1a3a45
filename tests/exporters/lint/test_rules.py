"""For each rule small graphs that break it and no other, and similar graphs that break none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from allweather.exporters.lint.lint import lint

SHAPE = (2, 16, 8, 8)
Broken = Callable[[Any], ModelProto]


def chain(net: Any, name: str, x: str) -> str:
    """A quantized Conv of 16 channels behind the pair of its input."""
    return net.conv(name, net.pair(f"{name}_in", x), (16, 16, 3, 3))


def split_by_a_pair(net: Any) -> ModelProto:
    y = net.add("Relu", "relu", net.pair("mid", chain(net, "c", "x")))
    return net.model(y, SHAPE)


def batch_norm(net: Any) -> ModelProto:
    parameters = [net.store(f"bn{index}", np.ones(16, np.float32)) for index in range(4)]
    return net.model(net.add("BatchNormalization", "bn", chain(net, "c", "x"), *parameters), SHAPE)


def residual(first: bool, shortcut: bool) -> Broken:
    def make(net: Any) -> ModelProto:
        x = net.add("Relu", "r0", "x")
        y = chain(net, "c", x)
        y, x = net.pair("own", y) if first else y, net.pair("short", x) if shortcut else x
        return net.model(net.add("Add", "sum", x, y), SHAPE)

    return make


def two_convs(first: bool, second: bool) -> Broken:
    def make(net: Any) -> ModelProto:
        x = net.pair("a", "x")
        y, z = net.conv("c1", x, (16, 16, 3, 3)), net.conv("c2", x, (16, 16, 1, 1))
        y, z = net.pair("p1", y) if first else y, net.pair("p2", z) if second else z
        return net.model(net.add("Add", "sum", y, z), SHAPE)

    return make


def narrow(groups: int) -> Broken:
    def make(net: Any) -> ModelProto:
        y = net.conv("c", net.pair("a", "x"), (8, 8 // groups, 3, 3), group=groups)
        return net.model(y, (2, 8, 8, 8))

    return make


def product(rows: object, axis: int = 1, kind: str = "MatMul") -> Broken:
    def make(net: Any) -> ModelProto:
        return net.model(net.add(kind, "product", net.pair("a", "x"), net.weight("w", (16, 24), axis)), (rows, 16))

    return make


def weight_first(axis: int) -> Broken:
    def make(net: Any) -> ModelProto:
        return net.model(net.add("MatMul", "product", net.weight("w", (24, 16), axis), net.pair("a", "x")), (16, 5))

    return make


def turned(axis: int) -> Broken:
    def make(net: Any) -> ModelProto:
        weight = net.add("Transpose", "turn", net.weight("w", (24, 16), axis), perm=[1, 0])
        return net.model(net.add("MatMul", "product", net.pair("a", "x"), weight), (5, 16))

    return make


def transposed(axis: int) -> Broken:
    def make(net: Any) -> ModelProto:
        weight = net.weight("w", (16, 24, 2, 2), axis)
        return net.model(net.add("ConvTranspose", "up", net.pair("a", "x"), weight, strides=[2, 2]), SHAPE)

    return make


def per_tensor(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    net.replace(model, "c_wscale", np.float32(0.01))
    net.replace(model, "c_wzero", np.int8(0))
    return model


def through(kind: str, *more: str, **attributes: object) -> Broken:
    def make(net: Any) -> ModelProto:
        x = net.add(kind, "between", net.pair("a", "x"), *more, **attributes)
        return net.model(net.conv("c", x, (16, 16, 1, 1)), SHAPE)

    return make


def unpaired(kind: str) -> Broken:
    def make(net: Any) -> ModelProto:
        model = net.model(chain(net, "c", "x"), SHAPE)
        if kind == "q":
            net.node(model, "c_in_dq").op_type = "Cast"
            del net.node(model, "c_in_dq").input[1:]
            net.node(model, "c_in_dq").attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        else:
            net.node(model, "c_in_q").op_type = "Floor"
            del net.node(model, "c_in_q").input[1:]
        return model

    return make


def moved_integers(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    model.graph.node.insert(0, helper.make_node("Identity", ["c_w"], ["copy"], "copy"))
    net.node(model, "c_wdq").input[0] = "copy"
    return model


def computed_scale(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["x"], ["most"], "most", keepdims=0))
    net.node(model, "c_in_q").input[1] = net.node(model, "c_in_dq").input[1] = "most"
    return model


def no_zero_point(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    del net.node(model, "c_in_q").input[2:], net.node(model, "c_in_dq").input[2:]
    return model


def integers(kind: str) -> Broken:
    def make(net: Any) -> ModelProto:
        return net.model(net.add(kind, "whole", "x", "x"), SHAPE)

    return make


def half_scales(opset: int) -> Broken:
    def make(net: Any) -> ModelProto:
        model = net.model(chain(net, "c", "x"), SHAPE, opset)
        for name in ("c_in_scale", "c_wscale"):
            net.replace(model, name, numpy_helper.to_array(net.stored_in(model, name)).astype(np.float16))
        return model

    return make


def outside(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    tensor = net.stored_in(model, "c_b")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def short_bias(net: Any) -> ModelProto:
    model = net.model(chain(net, "c", "x"), SHAPE)
    net.replace(model, "c_b", np.zeros(16, np.int8))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "bs"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["c_b", "bs"], ["b_out"], "bdq"))
    net.node(model, "c").input[2] = "b_out"
    return model


NOTHING: list[tuple[str, str, str]] = []
GRAPHS: dict[str, tuple[Broken, list[tuple[str, str, str]]]] = {
    "pair before the activation": (split_by_a_pair, [("advice", "split-activation", "mid_q")]),
    "batch norm": (batch_norm, [("advice", "batch-norm", "bn")]),
    "shortcut from a pair": (residual(False, True), NOTHING),
    "both branches from pairs": (residual(True, True), [("advice", "residual", "sum")]),
    "only the branch of the Conv": (residual(True, False), [("advice", "residual", "sum")]),
    "no branch from a pair": (residual(False, False), [("advice", "residual", "sum")]),
    "one of two Convs": (two_convs(False, True), NOTHING),
    "the other of two Convs": (two_convs(True, False), NOTHING),
    "both of two Convs": (two_convs(True, True), [("advice", "residual", "sum")]),
    "none of two Convs": (two_convs(False, False), [("advice", "residual", "sum")]),
    "8 channels": (narrow(1), [("advice", "few-channels", "c")]),
    "8 channels in two groups": (narrow(2), [("advice", "few-channels", "c")]),
    "depthwise": (narrow(8), NOTHING),
    "five rows": (product(5), NOTHING),
    "rows not known": (product("n"), NOTHING),
    "one row": (product(1), [("advice", "matrix-vector", "product")]),
    "one row, Gemm": (product(1, kind="Gemm"), [("advice", "matrix-vector", "product")]),
    "weight of a product on axis 0": (product(5, 0), [("error", "weight-axis", "product")]),
    "weight first": (weight_first(0), NOTHING),
    "weight first on axis 1": (weight_first(1), [("error", "weight-axis", "product")]),
    "weight turned": (turned(0), NOTHING),
    "weight turned on axis 1": (turned(1), [("error", "weight-axis", "product")]),
    "ConvTranspose": (transposed(1), [("advice", "conv-transpose", "up")]),
    "ConvTranspose on axis 0": (transposed(0), [("advice", "conv-transpose", "up"), ("error", "weight-axis", "up")]),
    "one scale a weight": (per_tensor, [("advice", "per-tensor-weight", "c")]),
    "through MaxPool": (through("MaxPool", kernel_shape=[2, 2]), NOTHING),
    "through Transpose": (through("Transpose", perm=[0, 1, 3, 2]), NOTHING),
    "through Concat of itself": (through("Concat", "a_dq_out", axis=2), NOTHING),
    "through Concat with a float": (through("Concat", "x", axis=2), [("error", "half-quantized", "c")]),
    "through AveragePool": (through("AveragePool", kernel_shape=[2, 2]), [("error", "half-quantized", "c")]),
    "Q without DQ": (unpaired("q"), [("error", "half-quantized", "c"), ("error", "unpaired", "c_in_q")]),
    "DQ without Q": (unpaired("dq"), [("error", "unpaired", "c_in_dq")]),
    "integers moved": (moved_integers, [("error", "unpaired", "c_wdq")]),
    "computed scale": (computed_scale, [("error", "scale", "c_in_q")]),
    "no zero point": (no_zero_point, [("error", "type", "c_in_q")]),
    "ConvInteger": (integers("ConvInteger"), [("error", "qoperator", "whole")]),
    "QLinearMatMul": (integers("QLinearMatMul"), [("error", "qoperator", "whole")]),
    "half scales": (half_scales(19), NOTHING),
    "half scales in an old opset": (half_scales(18), [("error", "opset", "c_in_q")]),
    "weights outside": (outside, [("error", "external-data", "c_b")]),
    "bias in 8 bits": (short_bias, [("advice", "bias", "bdq")]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_broken_graph_gets_its_finding_at_its_node(name: str, new_net: Callable[[], Any]) -> None:
    make, expected = GRAPHS[name]
    findings = lint(make(new_net())).findings
    assert sorted((finding.severity, finding.rule, finding.node) for finding in findings) == expected
    for finding in findings:
        for sentence in (finding.text, finding.cure):
            assert sentence[0].isupper()
            assert sentence.endswith(".")
            assert "\n" not in sentence
