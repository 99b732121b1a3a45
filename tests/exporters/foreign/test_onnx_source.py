"""A graph of any form becomes one that takes uint8 NHWC images in any batch, and gives the logits of the original."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto
from onnx_graphs import Form, build, normalized, run

from allweather.exporters.foreign.model_input import InputSettings
from allweather.exporters.foreign.onnx_source import OnnxSource, open_onnx
from allweather.exporters.foreign.wrap import FLOOR
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import LUMA_WEIGHTS, InputSpec
from allweather.runtimes.types import Floats, Image

CLASSES = ("blue", "green", "red")
IMAGES = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), np.uint8)
PLAIN = run(build(Form()), normalized(IMAGES))


def opened(form: Form, tmp_path: Path, classes: tuple[str, ...] = CLASSES, **settings: Any) -> OnnxSource:
    path = tmp_path / "their.onnx"
    onnx.save(build(form), path)
    return open_onnx(path, classes, InputSettings(**settings))[0]


def infer(graph: bytes, images: Image = IMAGES, outputs: int = 3) -> Floats:
    engine = OnnxEngine(CompiledModel(graph, b"", "fp32", InputSpec(*images.shape[1:3]), outputs))
    return engine.infer(images)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("batch", ["batch", 1, 4])
@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
def test_every_opset_layout_and_batch(opset: int, layout: str, batch: int | str, flatten: str, tmp_path: Path) -> None:
    source = opened(Form(opset=opset, layout=layout, batch=batch, flatten=flatten), tmp_path)
    np.testing.assert_allclose(infer(source.fp32), PLAIN, atol=1e-4)
    np.testing.assert_allclose(source.run(IMAGES), PLAIN, atol=1e-4)


def test_the_graph_takes_uint8_nhwc_of_any_batch_and_gives_logits(tmp_path: Path) -> None:
    graph = onnx.load_from_string(opened(Form(batch=1), tmp_path).fp32).graph
    taken, given = graph.input[0], graph.output[0]
    assert (taken.name, taken.type.tensor_type.elem_type) == ("images", TensorProto.UINT8)
    assert [dim.dim_value for dim in taken.type.tensor_type.shape.dim] == [0, 32, 32, 3]
    assert (given.name, given.type.tensor_type.elem_type) == ("logits", TensorProto.FLOAT)


@pytest.mark.parametrize("ending", ["Softmax", "LogSoftmax", "Sigmoid"])
@pytest.mark.parametrize("opset", [11, 17])
def test_what_ends_a_graph_is_cut(ending: str, opset: int, tmp_path: Path) -> None:
    source = opened(Form(ending=ending, opset=opset), tmp_path)
    np.testing.assert_allclose(infer(source.fp32), PLAIN, atol=1e-4)
    np.testing.assert_allclose(source.run(IMAGES), PLAIN, atol=1e-4)
    assert ending not in {node.op_type for node in source.graph.graph.node}


@pytest.mark.parametrize("opset", [11, 17])
def test_the_logarithm_of_a_softmax_in_parts_is_appended(opset: int, tmp_path: Path) -> None:
    source = opened(Form(ending="decomposed", opset=opset), tmp_path)
    log_probabilities = PLAIN - np.log(np.exp(PLAIN).sum(1, keepdims=True))
    expected = np.logaddexp(log_probabilities, np.log(FLOOR))  # fp16 knows no smaller probabilities
    np.testing.assert_allclose(infer(source.fp32), expected, atol=1e-3)


def test_one_output_is_the_logit_of_the_second_of_two_classes(tmp_path: Path) -> None:
    for ending in (None, "Sigmoid"):
        source = opened(Form(outputs=1, ending=ending), tmp_path, ("off", "on"))
        logit = run(build(Form(outputs=1)), normalized(IMAGES))
        np.testing.assert_allclose(infer(source.fp32, outputs=2), np.concatenate([0 * logit, logit], 1), atol=1e-4)


@pytest.mark.parametrize("ending", [None, "4d"])
@pytest.mark.parametrize("constants", ["initializers", "nodes"])
def test_constants_may_be_nodes_and_outputs_may_have_sides_of_one(
    ending: str | None, constants: str, tmp_path: Path
) -> None:
    source = opened(Form(ending=ending, constants=constants), tmp_path)
    np.testing.assert_allclose(infer(source.fp32), PLAIN, atol=1e-4)
    assert not any(node.op_type in ("Constant", "BatchNormalization") for node in source.graph.graph.node)


def test_weights_may_be_listed_as_inputs_and_functions_may_be_local(tmp_path: Path) -> None:
    model = build(Form(opset=9, batch=1))  # as older exporters write
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, tmp_path / "old.onnx")
    np.testing.assert_allclose(infer(open_onnx(tmp_path / "old.onnx", CLASSES)[0].fp32), PLAIN, atol=1e-4)
    model = build(Form())  # as torch writes modules
    body = onnx.helper.make_node("Relu", ["x"], ["y"])
    opsets = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(onnx.helper.make_function("local", "Activation", ["x"], ["y"], [body], opsets))
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.domain, relu.op_type = "local", "Activation"
    onnx.save(model, tmp_path / "functions.onnx")
    np.testing.assert_allclose(infer(open_onnx(tmp_path / "functions.onnx", CLASSES)[0].fp32), PLAIN, atol=1e-4)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("element", ["uint8", "float32"])
def test_a_graph_that_normalizes_gets_the_pixels(layout: str, element: str, tmp_path: Path) -> None:
    source = opened(Form(layout=layout, element=element, normalizes=True), tmp_path)
    np.testing.assert_allclose(infer(source.fp32), PLAIN, atol=1e-3)


def test_pixels_means_and_colors_are_those_that_the_user_names(tmp_path: Path) -> None:
    settings = {"mean": (0.4, 0.5, 0.6), "std": (1.0, 1.0, 0.5), "pixels": 255, "channels": "bgr"}
    source = opened(Form(), tmp_path, **settings)
    values = 255 * ((IMAGES / 255 - np.array(settings["mean"])) / np.array(settings["std"]))
    expected = run(build(Form()), values[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))
    np.testing.assert_allclose(infer(source.fp32), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(source.run(IMAGES), expected, rtol=1e-4, atol=1e-3)


def test_a_gray_model_gets_the_luma(tmp_path: Path) -> None:
    source = opened(Form(gray=True), tmp_path, mean=(0.0,) * 3, std=(1.0,) * 3)
    luma = (IMAGES / 255 @ np.array(LUMA_WEIGHTS))[:, None].astype(np.float32)
    np.testing.assert_allclose(infer(source.fp32), run(build(Form(gray=True)), luma), atol=1e-4)


def test_a_float16_model_is_computed_in_float32_and_float16(tmp_path: Path) -> None:
    source = opened(Form(element="float16", batch=1), tmp_path)
    assert source.precision == "fp16"
    half = onnx.load_from_string(source.fp16)
    assert {tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) > 1} == {TensorProto.FLOAT16}
    for graph in (source.fp32, source.fp16):
        np.testing.assert_allclose(infer(graph), PLAIN, atol=0.05)


@pytest.mark.slow
def test_float16_of_every_graph(tmp_path: Path) -> None:
    for form in (Form(), Form(layout="nhwc", ending="decomposed"), Form(element="uint8"), Form(opset=9, batch=1)):
        source = opened(form, tmp_path)
        half = onnx.load_from_string(source.fp16)
        assert not any(tensor.data_type == TensorProto.FLOAT for tensor in half.graph.initializer)
        assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        np.testing.assert_allclose(infer(source.fp16), infer(source.fp32), atol=0.05)


def test_any_size_needs_the_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes images of any size; add --size"):
        opened(Form(side=None), tmp_path)
    source = opened(Form(side=None), tmp_path, size=32)
    np.testing.assert_allclose(infer(source.fp32), PLAIN, atol=1e-4)


@pytest.mark.parametrize(
    ("form", "settings", "words"),
    [
        (Form(), {"layout": "nhwc"}, "takes NCHW, and --layout says nhwc"),
        (Form(layout="nhwc"), {"layout": "nchw"}, "takes NHWC, and --layout says nchw"),
        (Form(), {"size": 64}, "takes images of 32 x 32 px, and --size says 64"),
        (Form(element="uint8"), {"mean": (0.5, 0.5, 0.5)}, "takes uint8 pixels, .* leave --mean out"),
        (Form(element="uint8"), {"pixels": 1}, "leave --pixels out"),
        (Form(gray=True), {"channels": "bgr"}, "takes gray images, and --channels says bgr"),
        (Form(), {"mean": (123.7, 116.3, 103.5)}, "scale from 0 to 1; got 123.7,116.3,103.5: divide it by 255"),
        (Form(), {"pixels": 2}, "--pixels is 1 .* or 255"),
        (Form(), {"layout": "chw"}, "no layout is called 'chw'"),
    ],
)
def test_what_contradicts_the_graph_is_refused(
    form: Form, settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        opened(form, tmp_path, **settings)
    assert "\n" not in str(caught.value)


def test_a_second_normalization_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened(Form(normalizes=True), tmp_path, mean=(0.5, 0.5, 0.5))
    assert "begins with a normalization of its own, and --mean is applied before it" in caplog.text


@pytest.mark.slow
def test_names_in_the_graph_do_not_matter(tmp_path: Path) -> None:
    for names in (("images", "logits"), ("logits", "images"), ("allweather_1", "allweather_logits_0")):
        form = replace(Form(), input_name=names[0], output_name=names[1])
        np.testing.assert_allclose(infer(opened(form, tmp_path).fp32), PLAIN, atol=1e-4)
        form = replace(form, element="uint8", layout="nhwc")
        np.testing.assert_allclose(infer(opened(form, tmp_path).fp32), PLAIN, atol=1e-3)


@pytest.mark.slow
def test_a_class_token_is_repeated_for_each_image(tmp_path: Path) -> None:
    """A vision transformer that was exported for one image concatenates a constant to its patches."""
    import torch
    from torch import nn

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.patches, self.token = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.randn(1, 1, 8))
            self.mix, self.head = nn.Linear(8, 24), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
            q, k, v = self.mix(x).reshape(x.shape[0], 17, 3, 2, 4).permute(2, 0, 3, 1, 4)
            x = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], 17, 8)
            result: torch.Tensor = self.head(x[:, 0])
            return result

    path, model = tmp_path / "tokens.onnx", Tokens().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about the exporter that most files were made with
        torch.onnx.export(model, (torch.zeros(1, 3, 32, 32),), path, opset_version=17, dynamo=False)
    source, _ = open_onnx(path, CLASSES)
    with torch.no_grad():
        expected = model(torch.from_numpy(normalized(IMAGES))).numpy()
    np.testing.assert_allclose(infer(source.fp32), expected, atol=1e-4)


@pytest.mark.slow
def test_images_may_be_counted_in_the_second_place(tmp_path: Path) -> None:
    """torch's MultiheadAttention computes in [tokens, images, features], which Reshapes merge and part again."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.patches, self.mix = nn.Conv2d(3, 8, 8, 8), nn.MultiheadAttention(8, 2, batch_first=True)
            self.hidden, self.head = nn.Linear(8, 12), nn.Linear(12, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.patches(x).reshape(x.shape[0], 8, 16).permute(0, 2, 1)
            result: torch.Tensor = self.head(torch.relu(self.hidden(self.mix(x, x, x, need_weights=False)[0])).mean(1))
            return result

    path, model = tmp_path / "attention.onnx", Attention().train()  # in eval mode, torch uses a fused operator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(model, (torch.zeros(1, 3, 32, 32),), path, opset_version=17, dynamo=False, training=training)
    source, _ = open_onnx(path, CLASSES)
    with torch.no_grad():
        expected = model(torch.from_numpy(normalized(IMAGES))).numpy()
    np.testing.assert_allclose(infer(source.fp32), expected, atol=1e-4)


@pytest.mark.parametrize("side", [(24, 32), (32, 24)])
def test_images_need_not_be_squares(side: tuple[int, int], tmp_path: Path) -> None:
    model = build(Form())
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = side
    onnx.save(model, tmp_path / "x.onnx")
    source, taken = open_onnx(tmp_path / "x.onnx", CLASSES)
    assert (taken.spec.height, taken.spec.width) == side
    images: npt.NDArray[np.uint8] = np.ascontiguousarray(IMAGES[:, : side[0], : side[1]])
    np.testing.assert_allclose(infer(source.fp32, images), source.run(images), atol=1e-4)
