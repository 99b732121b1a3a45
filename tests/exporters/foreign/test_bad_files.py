"""A file that cannot become a bundle is told what it is, in one line with the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import Form, build

from allweather.exporters.foreign.model_input import InputSettings
from allweather.exporters.foreign.onnx_source import open_onnx
from allweather.exporters.foreign.read import read_onnx_file
from allweather.runtimes.errors import AllweatherError, EngineError

CLASSES = ("blue", "green", "red")


def refusal(path: Path, classes: tuple[str, ...] = CLASSES) -> str:
    with pytest.raises(AllweatherError) as caught:
        open_onnx(path, classes, InputSettings())
    text = str(caught.value)
    assert "\n" not in text
    assert ";" in text  # what it is, and what to do
    return text


def saved(model: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "their.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain, model.graph.node[1].op_type = "mycompany", "FancyRelu"
    model.opset_import.append(helper.make_opsetid("mycompany", 1))


def optimized(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain, model.graph.node[0].op_type = "com.microsoft", "FusedConv"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[2].op_type = "Reluu"


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[2].output[0], TensorProto.FLOAT, None))


def language_model(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "input_ids"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


def detector(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "boxes"


def yolo(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 84, 8400]))


def feature_map(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[2].output[0]


def nan_weight(model: onnx.ModelProto) -> None:
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w1"))


def cut_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def new_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 22


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 5


def flat_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3072]))


def five_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 5, 32, 32]))


def integers(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def quantized(model: onnx.ModelProto) -> None:
    model.graph.node[2].op_type = "QuantizeLinear"


def circle_before(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Identity", ["input"], ["input"]))


def circle_after(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["output"], ["output"]))


def path_traversal(model: onnx.ModelProto) -> None:
    external(model, "../secret.bin")


def absolute_path(model: onnx.ModelProto) -> None:
    external(model, "/etc/passwd")


def missing_data(model: onnx.ModelProto) -> None:
    external(model, "weights.bin")


def external(model: onnx.ModelProto, location: str) -> None:
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (custom_operator, ("custom operator mycompany.FancyRelu", "operators of ONNX alone")),
        (optimized, ("com.microsoft.FusedConv", "optimized for ONNX Runtime")),
        (unknown_operator, ("ONNX Runtime cannot run it", "Reluu")),
        (two_inputs, ("2 inputs (input, mask)", "one image")),
        (two_outputs, ("2 outputs", "extract_model")),
        (language_model, ("input_ids", "language model")),
        (detector, ("boxes", "object detector")),
        (yolo, ("object detector",)),
        (feature_map, ("[1, 16, 16, 16] for 1 images", "[n, classes]")),
        (nan_weight, ("w1 holds NaN",)),
        (cut_weight, ("damaged", "w1")),
        (new_opset, ("opset 22", "9 to 21")),
        (old_opset, ("opset 5", "9 to 21")),
        (flat_input, ("[1, 3072]", "[n, 3, h, w]")),
        (five_channels, ("[1, 5, 32, 32]", "without 3 color channels")),
        (integers, ("int32", "float32, float16 or uint8")),
        (quantized, ("quantized already",)),
        (circle_before, ("ONNX Runtime cannot run it",)),
        (circle_after, ("ONNX Runtime cannot run it",)),
        (path_traversal, ("../secret.bin", "outside of its folder", "refused")),
        (absolute_path, ("/etc/passwd", "refused")),
        (missing_data, ("weights.bin", "missing")),
    ],
)
def test_each_is_named(damage: Callable[[onnx.ModelProto], None], words: tuple[str, ...], tmp_path: Path) -> None:
    model = build(Form(batch=1))
    damage(model)
    text = refusal(saved(model, tmp_path))
    for each in words:
        assert each in text


@pytest.mark.parametrize("number", [TensorProto.INT64, TensorProto.FLOAT])
def test_the_number_of_a_class_is_no_score(number: int, tmp_path: Path) -> None:
    model = build(Form(outputs=2, batch=1))
    model.graph.node[-1].output[0] = "scores"
    ending = [
        helper.make_node("ArgMax", ["scores"], ["number"], axis=1),
        helper.make_node("Cast", ["number"], ["output"], to=number),
    ]
    model.graph.node.extend(ending)
    model.graph.output[0].type.tensor_type.elem_type = number
    assert "ends in ArgMax, which gives the number of a class and no scores" in refusal(
        saved(model, tmp_path), ("off", "on")
    )


def test_a_probability_without_sigmoid_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = build(Form(outputs=1))
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.append(helper.make_node("Neg", ["scores"], ["negative"]))
    model.graph.node.append(helper.make_node("Exp", ["negative"], ["raised"]))
    model.graph.node.append(helper.make_node("Add", ["raised", "one"], ["more"]))
    model.graph.node.append(helper.make_node("Reciprocal", ["more"], ["output"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1]), "one"))
    open_onnx(saved(model, tmp_path), ("off", "on"), InputSettings())
    assert "one number from 0 to 1" in caplog.text
    assert "logit of on" in caplog.text


def test_random_outputs_are_told_from_a_fixed_batch(tmp_path: Path) -> None:
    model = build(Form(batch=1))
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.append(helper.make_node("RandomNormalLike", ["scores"], ["noise"]))
    model.graph.node.append(helper.make_node("Add", ["scores", "noise"], ["output"]))
    assert "something else for the same image each time" in refusal(saved(model, tmp_path))


def test_classes_that_do_not_match_are_counted(tmp_path: Path) -> None:
    assert "3 outputs for each image, and --classes names 2" in refusal(saved(build(Form()), tmp_path), ("a", "b"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused(share: float, tmp_path: Path) -> None:
    path = saved(build(Form()), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no graph"),
        (b"PK\x03\x04...", "a .zip file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x00\x01random bytes", "no ONNX file"),
    ],
)
def test_other_files_are_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "their.onnx"
    path.write_bytes(content)
    assert words in refusal(path)
    assert "is missing" in refusal(tmp_path / "none.onnx")
    assert "is a folder" in refusal(tmp_path)


def test_external_data_is_read_once_and_only_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model, path = build(Form()), folder / "their.onnx"
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    read = read_onnx_file(path)
    assert not any(tensor.external_data for tensor in read.graph.initializer)
    for tensor, expected in zip(read.graph.initializer, weights, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected)
    source, _ = open_onnx(path, CLASSES)
    assert b"location" not in source.fp32
    (tmp_path / "elsewhere.bin").write_bytes((folder / "weights.bin").read_bytes())
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert "a link to outside of its folder" in refusal(path)
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").write_bytes(b"short")
    assert "cut off" in refusal(path)


def test_a_batch_that_cannot_be_dynamic_is_refused(tmp_path: Path) -> None:
    """A graph that mixes the images of a batch is no classifier of single images."""
    model = build(Form(batch=4))
    nodes = list(model.graph.node)
    mixed = helper.make_node("ReduceMean", [nodes[-1].input[0]], ["mixed"], axes=[0], keepdims=1)
    added = helper.make_node("Add", ["mixed", nodes[-1].input[0]], ["both"])
    nodes[-1].input[0] = "both"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:-1], mixed, added, nodes[-1]])
    text = refusal(saved(model, tmp_path))
    assert "fixed to batches of 4" in text
    assert "dynamic batch" in text


def test_files_of_random_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    content = bytearray(build(Form(batch=1)).SerializeToString())
    rng, path = np.random.default_rng(0), tmp_path / "x.onnx"
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, 600, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            open_onnx(path, CLASSES, InputSettings())
        except AllweatherError as error:
            assert "\n" not in str(error)  # noqa: PT017 -- a damage in a weight may also pass


def test_a_model_that_fails_on_images_says_what_it_got(tmp_path: Path) -> None:
    model = build(Form(flatten="Reshape", batch=1))
    shape = next(tensor for tensor in model.graph.initializer if tensor.name == "shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([1, 99], np.int64), "shape"))
    with pytest.raises(EngineError, match=r"fails on images NCHW RGB float32, 32 x 32 px|cannot run it"):
        open_onnx(saved(model, tmp_path), CLASSES)
