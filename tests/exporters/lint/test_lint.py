"""A valid network, drawn at random, has no findings; one mutation of it has exactly one, at its node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.checker
import onnx.shape_inference
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from allweather.exporters.lint.lint import RULES, lint, load_onnx
from allweather.runtimes.errors import EngineError

ROOT = Path(__file__).parents[3]
BUNDLE = ROOT / "samples" / "bundles" / "cifar10-resnet20" / "onnx"
SHAPE = (2, 16, 8, 8)
New = Callable[[], Any]


def errors(model: ModelProto) -> set[tuple[str, str]]:
    return {(finding.rule, finding.node) for finding in lint(model).errors}


def build_network(net: Any, blocks: list[tuple[int, int, bool, bool]], head: int | None) -> ModelProto:
    """A network of Conv blocks, and of a Gemm behind them if `head` (its transB) is given.

    Args:
        net: An empty network.
        blocks: For each block: channels, kernel size, whether its weight is stored as int8, whether it has a shortcut.
        head: The Gemm's attribute transB, 0 or 1; None for no Gemm.
    """
    x, channels = "x", SHAPE[1]
    for index, (width, kernel, stored, shortcut) in enumerate(blocks):
        x = net.pair(f"a{index}", x)
        y = net.conv(f"c{index}", x, (width, channels, kernel, kernel), stored=stored)
        if shortcut and width == channels:
            y = net.add("Add", f"add{index}", y, x)
        x, channels = net.add("Relu", f"r{index}", y), width
    if head is not None:
        x = net.pair("ah", net.add("GlobalAveragePool", "gap", x))
        shape = (24, channels) if head else (channels, 24)
        weight = net.weight("gemm", shape, 1 - head, stored=True)
        x = net.add("Gemm", "gemm", net.add("Flatten", "flat", x), weight, net.bias("gemm", 24), transB=head)
    return net.model(x, SHAPE)


def set_axis(model: ModelProto, axis: int) -> None:
    for node in model.graph.node:
        if node.name in ("c0_wq", "c0_wdq"):
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", axis))


def int32_bias(net: Any, model: ModelProto) -> None:
    size = net.stored_in(model, "c0_b").dims[0]
    net.replace(model, "c0_b", np.zeros(size, np.int32))
    model.graph.initializer.append(numpy_helper.from_array(np.full(size, 0.001, np.float32), "bs"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["c0_b", "bs"], ["b_out"], "bdq", axis=0))
    net.node(model, "c0").input[2] = "b_out"


def float_weight(net: Any, model: ModelProto) -> None:
    shape = net.stored_in(model, "c0_w").dims
    model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), "plain"))
    net.node(model, "c0").input[1] = "plain"


def float_input(net: Any, model: ModelProto) -> None:
    net.node(model, "c0").input[0] = "x"


def uint8_weight(net: Any, model: ModelProto) -> None:
    net.replace(model, "c0_wzero", np.zeros(net.stored_in(model, "c0_wzero").dims, np.uint8))
    if net.stored_in(model, "c0_w").data_type == TensorProto.INT8:
        net.replace(model, "c0_w", np.ones(net.stored_in(model, "c0_w").dims, np.uint8))


def last_value(name: str, value: float) -> Callable[[Any, ModelProto], None]:
    def change(net: Any, model: ModelProto) -> None:
        array = numpy_helper.to_array(net.stored_in(model, name)).copy()
        array[-1] = value
        net.replace(model, name, array)

    return change


MUTATIONS: dict[str, tuple[Callable[[Any, ModelProto], None], str, str]] = {
    "zero point of an activation": (lambda net, m: net.replace(m, "a0_zero", np.int8(1)), "zero-point", "a0_q"),
    "zero point of one channel": (last_value("c0_wzero", -3), "zero-point", "weight"),
    "uint8 activation": (lambda net, m: net.replace(m, "a0_zero", np.uint8(0)), "type", "a0_q"),
    "uint8 asymmetric": (lambda net, m: net.replace(m, "a0_zero", np.uint8(128)), "type", "a0_q"),
    "uint8 weight": (uint8_weight, "type", "weight"),
    "scale of zero": (last_value("c0_wscale", 0), "scale", "weight"),
    "negative scale": (last_value("c0_wscale", -0.1), "scale", "weight"),
    "scale not a number": (lambda net, m: net.replace(m, "a0_scale", np.float32("nan")), "scale", "a0_q"),
    "infinite scale": (lambda net, m: net.replace(m, "a0_scale", np.float32("inf")), "scale", "a0_q"),
    "scale in a list": (lambda net, m: net.replace(m, "a0_scale", np.float32([0.05])), "activation-scale", "a0_q"),
    "scales": (lambda net, m: net.replace(m, "a0_scale", np.float32([0.05] * 16)), "activation-scale", "a0_q"),
    "wrong axis": (lambda net, m: set_axis(m, 1), "weight-axis", "c0"),
    "axis by default": (lambda net, m: set_axis(m, -3), "weight-axis", "c0"),
    "integer bias": (int32_bias, "bias", "bdq"),
    "weight pair dropped": (float_weight, "half-quantized", "c0"),
    "input pair dropped": (float_input, "half-quantized", "c0"),
    "old opset": (lambda net, m: setattr(m.opset_import[0], "version", 12), "opset", "weight"),
    "ancient opset": (lambda net, m: setattr(m.opset_import[0], "version", 9), "opset", "a0_q"),
}  # fmt: skip
BLOCK = st.tuples(st.sampled_from([16, 24]), st.sampled_from([1, 3]), st.booleans(), st.booleans())
BLOCKS = st.lists(BLOCK, min_size=1, max_size=4)
HEADS = st.sampled_from([None, 0, 1])


@given(blocks=BLOCKS, head=HEADS)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_a_good_network_has_no_findings(new_net: New, blocks: Any, head: int | None) -> None:
    model = build_network(new_net(), blocks, head)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), full_check=True)
    report = lint(model)
    layers = len(blocks) + (head is not None)
    assert report.findings == ()
    assert (report.int8_layers, report.float_layers) == (layers, ())


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
@given(blocks=BLOCKS, head=HEADS)
@settings(max_examples=12, deadline=None)
def test_one_mutation_is_one_error_at_its_node(name: str, new_net: New, blocks: Any, head: int | None) -> None:
    change, rule, node = MUTATIONS[name]
    net = new_net()
    model = build_network(net, blocks, head)
    change(net, model)
    weight = "c0_wdq" if blocks[0][2] else "c0_wq"
    assert errors(model) == {(rule, weight if node == "weight" else node)}
    assert lint(model).float_layers or rule in ("bias", "opset")


def test_the_sample_bundle() -> None:
    fp32 = lint(load_onnx(BUNDLE / "classifier-fp32.onnx"))
    assert fp32.qdq_nodes == fp32.int8_layers == 0
    assert fp32.findings == ()
    int8 = lint(load_onnx(BUNDLE / "classifier-int8.onnx"))
    assert int8.findings == ()
    assert int8.int8_layers + 2 == len(fp32.float_layers)
    assert len(int8.float_layers) == 2  # the first Conv and the Gemm


@pytest.mark.slow
def test_every_layer_of_a_deep_network_is_counted(new_net: New) -> None:
    net = new_net()
    model = build_network(net, [(512, 3, True, True)] * 53, 1)
    assert lint(model).int8_layers == 54


def test_branches_and_functions_are_linted(new_net: New) -> None:
    net = new_net()
    inner = build_network(net, [(16, 3, True, False)], None)
    net.replace(inner, "a0_zero", np.int8(4))
    body = inner.graph
    del body.input[:]
    net = new_net()
    net.nodes.append(helper.make_node("If", ["yes"], ["y"], "if", then_branch=body, else_branch=body))
    net.store("yes", np.asarray(True))
    branched = net.model("y", SHAPE)
    assert errors(branched) == {("zero-point", "a0_q")}
    called = helper.make_function(
        "own", "f", ["x"], ["r0_out"],
        [helper.make_node("Constant", [], [t.name], value=t) for t in inner.graph.initializer] + list(inner.graph.node),
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    net = new_net()
    net.nodes.append(helper.make_node("f", ["x"], ["y"], "call", domain="own"))
    calling = net.model("y", SHAPE)
    calling.opset_import.append(helper.make_opsetid("own", 1))
    calling.functions.append(called)
    assert {rule for rule, _ in errors(calling)} == {"zero-point"}


def test_damaged_files_get_one_clear_line(tmp_path: Path, new_net: New) -> None:
    whole = (BUNDLE / "classifier-int8.onnx").read_bytes()
    contents = {
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(5000),
        "cut": whole[:-3000],
        "text": b"hello\n" * 9,
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.onnx").write_bytes(content)
        with pytest.raises(EngineError, match="no ONNX file, or a damaged one") as caught:
            load_onnx(tmp_path / f"{name}.onnx")
        assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match=r"no file .*lint takes an .onnx file"):
        load_onnx(tmp_path / "none.onnx")
    net = new_net()
    model = build_network(net, [(16, 3, True, False)], None)
    net.stored_in(model, "a0_scale").raw_data = b"123"
    with pytest.raises(EngineError, match="the tensor a0_scale is damaged"):
        lint(model)


def test_a_scale_of_text_gets_one_clear_line(new_net: New) -> None:
    net = new_net()
    model = build_network(net, [(16, 3, True, False)], None)
    net.stored_in(model, "a0_scale").CopyFrom(numpy_helper.from_array(np.asarray(["a"], object), "a0_scale"))
    with pytest.raises(EngineError, match="the tensor a0_scale holds text"):
        lint(model)


def test_a_function_that_calls_itself_gets_one_clear_line(new_net: New) -> None:
    model = build_network(new_net(), [(16, 3, True, False)], None)
    call = helper.make_node("f", ["x"], ["unused"], "call", domain="own")
    model.graph.node.append(call)
    model.opset_import.append(helper.make_opsetid("own", 1))
    body = [helper.make_node("f", ["a"], ["b"], domain="own")]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    with pytest.raises(EngineError, match="functions of the model cannot be inlined"):
        lint(model)


@given(st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.slow
def test_a_damaged_model_never_crashes_it(new_net: New, data: st.DataObject) -> None:
    content = bytearray(build_network(new_net(), [(16, 1, True, True), (16, 3, False, False)], 1).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    model = ModelProto()
    try:
        model.ParseFromString(bytes(content))
        lint(model)
    except (DecodeError, EngineError):
        pass


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
