from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import invoke
from onnx import TensorProto, helper, numpy_helper
from typer.testing import Result

BUNDLE = Path(__file__).parents[3] / "samples" / "bundles" / "cifar10-resnet20"


def run(*arguments: object) -> Result:
    return invoke("lint", *arguments)


@pytest.fixture
def conv(tmp_path: Path) -> onnx.ModelProto:
    """A quantized Conv with nothing wrong; its zero point is `zero`, its node's name holds brackets."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    arrays = {
        "scale": np.float32(0.1), "zero": np.int8(0), "scales": np.full(16, 0.1, np.float32),
        "zeros": np.zeros(16, np.int8), "w": np.ones((16, 16, 1, 1), np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "net[0]/q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "net[0]/dq"),
        helper.make_node("DequantizeLinear", ["w", "scales", "zeros"], ["wdq"], "weight", axis=0),
        helper.make_node("Conv", ["dq", "wdq"], ["y"], "net[0]/conv"),
    ]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_sound_graph_passes(conv: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(conv, tmp_path / "good.onnx")
    done = run(tmp_path / "good.onnx")
    assert done.exit_code == 0, done.stderr
    assert "1 of 1 Conv, Gemm and MatMul layers run in INT8" in done.stdout
    assert done.stderr == ""


def test_an_error_fails_with_one_line_and_is_in_the_table_and_the_json(conv: onnx.ModelProto, tmp_path: Path) -> None:
    conv.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.asarray(np.int8(3)), "zero"))
    onnx.save(conv, tmp_path / "bad.onnx")
    for arguments in ([], ["--json"]):
        done = run(tmp_path / "bad.onnx", *arguments)
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1
        assert "1 error that keeps it from running in INT8, the first at net[0]/q" in done.stderr
        assert "Quantize symmetrically" in done.stderr
        assert "zero-point" in done.stdout
    result = json.loads(done.stdout)
    assert {key: result[key] for key in ("int8", "float", "qdq_nodes", "errors", "float_layers")} == {
        "int8": 0, "float": 1, "qdq_nodes": 3, "errors": 1, "float_layers": ["net[0]/conv"],
    }  # fmt: skip
    assert [(entry["rule"], entry["severity"], entry["node"]) for entry in result["findings"]] == [
        ("zero-point", "error", "net[0]/q")
    ]


def test_advice_alone_passes(conv: onnx.ModelProto, tmp_path: Path) -> None:
    for name, array in (("scales", np.float32(0.1)), ("zeros", np.int8(0))):
        stored = next(tensor for tensor in conv.graph.initializer if tensor.name == name)
        stored.CopyFrom(numpy_helper.from_array(np.asarray(array), name))
    onnx.save(conv, tmp_path / "slow.onnx")
    done = run(tmp_path / "slow.onnx", "--json")
    assert done.exit_code == 0, done.stderr
    assert [entry["severity"] for entry in json.loads(done.stdout)["findings"]] == ["advice"]


def test_a_graph_in_float_fails() -> None:
    done = run(BUNDLE / "onnx" / "classifier-fp32.onnx", "--json")
    assert done.exit_code == 1
    assert "has no Q/DQ nodes" in done.stderr
    assert len(json.loads(done.stdout)["float_layers"]) == 20


@pytest.mark.slow
def test_the_layers_of_the_sample_bundle_are_counted() -> None:
    done = run(BUNDLE / "onnx" / "classifier-int8.onnx", "--json")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["errors"], result["int8"]) == (0, 0, 18)
    assert len(result["float_layers"]) == 2
    assert result["float_layers"][0] in run(BUNDLE / "onnx" / "classifier-int8.onnx").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.onnx", "no file"),
        ("empty.onnx", "no ONNX file, or a damaged one"),
        ("noise.onnx", "no ONNX file, or a damaged one"),
        ("cut.onnx", "no ONNX file, or a damaged one"),
        ("pipe.onnx", "no file"),
        ("huge.onnx", "an ONNX file holds at most 2147483647"),
        ("weights.safetensors", "is a checkpoint: lint an .onnx file that 'allweather export' makes"),
        ("bundle", "lint takes an .onnx file"),
        ("folder", "is a folder: name the .onnx file"),
    ],
)
def test_bad_input_gets_one_clear_line(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(1).bytes(9999))
    (tmp_path / "cut.onnx").write_bytes((BUNDLE / "onnx" / "classifier-int8.onnx").read_bytes()[:50_000])
    (tmp_path / "weights.safetensors").write_bytes(b"anything")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bundle").symlink_to(BUNDLE)
    os.mkfifo(tmp_path / "pipe.onnx")
    with (tmp_path / "huge.onnx").open("wb") as stream:
        stream.truncate(2**31)  # sparse: it takes no room on the disk
    done = run(tmp_path / name)
    assert done.exit_code == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_missing_argument_is_bad_usage() -> None:
    assert run().exit_code == 2
