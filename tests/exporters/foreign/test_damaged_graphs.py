"""Graphs that only a damaged or a made-up file holds are told in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import Form, build

from allweather.exporters.foreign.read import read_onnx_file
from allweather.runtimes.errors import EngineError


def unknown_type(model: onnx.ModelProto) -> None:
    next(each for each in model.graph.initializer if each.name == "w1").data_type = 99


def cut_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="sizes", data_type=TensorProto.INT64, dims=[2], raw_data=b"123"))


def function_that_calls_itself(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("f", [model.graph.input[0].name], ["unused"], domain="own"))
    body = [helper.make_node("f", ["a"], ["b"], domain="own")]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (unknown_type, "is damaged: the weight w1 cannot be read; export it again"),
        (cut_constant, "is damaged: the weight sizes cannot be read; export it again"),
        (function_that_calls_itself, "its functions cannot be inlined (Cycle detected"),
    ],
)
def test_each_gets_one_line(damage: Callable[[onnx.ModelProto], None], words: str, tmp_path: Path) -> None:
    model = build(Form())
    damage(model)
    path = tmp_path / "their.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError) as caught:
        read_onnx_file(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
