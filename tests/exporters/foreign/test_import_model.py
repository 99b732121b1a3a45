"""From another program's file to a bundle in the budgeted loop: ONNX of several forms, and OpenVINO IR."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto, helper
from onnx_graphs import Form, build, normalized, run

from allweather import exporters
from allweather.exporters.compilation import ExportOptions
from allweather.exporters.foreign import InputSettings, export_onnx, open_foreign
from allweather.exporters.foreign.import_model import export_foreign
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.crop import Crop
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.errors import EngineError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.aggregate import probabilities
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec

BOTH = ExportOptions(("openvino", "onnx"), ("fp32", "int8"))
FORMS = (
    Form(opset=11, batch=1, flatten="Reshape"),
    Form(opset=13, layout="nhwc", batch="unk__1", ending="Softmax", normalizes=True),  # as tf2onnx writes
    Form(opset=17, element="uint8", constants="nodes", ending="decomposed"),
    Form(opset=21, batch=4, ending="LogSoftmax"),
)


def write(form: Form, head: npt.NDArray[np.float32], tmp_path: Path) -> Path:
    path = tmp_path / "their colors.onnx"
    onnx.save(build(form, head), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"opset {form.opset}")
def test_import_and_int8_and_a_predictor_in_the_loop(
    form: Form, head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path
) -> None:
    expected = run(build(Form(), head), normalized(dataset.test.images.numpy())).argmax(1)
    path = write(form, head, tmp_path)
    manifest = export_onnx(str(path), dataset, str(tmp_path / "their.aw"), options=BOTH)
    assert manifest.arch == "onnx:their colors"
    assert {(model.engine, model.precision) for model in manifest.models} == {
        (engine, precision) for engine in BOTH.engines for precision in ("fp32", "int8")
    }
    bundle = Bundle.open(tmp_path / "their.aw")
    for model in bundle.manifest.models:
        assert model.parity.reference_accuracy is not None
        assert model.parity.reference_accuracy > 0.9
        engine, _ = open_engine(bundle, model.engine, model.precision)
        agreement = (infer_all(engine, dataset.test.images.numpy()).argmax(1) == expected).mean()
        engine.close()
        assert agreement >= (1 if model.precision == "fp32" else 0.9)
    graph = onnx.load_from_string(bundle.read("onnx/classifier-int8.onnx")).graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) >= 1
    if form is not FORMS[0]:
        return  # a predictor is compiled from a network of ours, whatever the classifier was
    spec = predictor_input_spec(bundle.input)
    predictor = TrainedPredictor(
        "tiny", spec, ("identity", "hflip"), "0" * 16, build_predictor("tiny", spec, 2).state_dict()
    )
    exporters.add_to_bundle(bundle, predictor, None, dataset, tmp_path / "seeing.aw")
    with load(tmp_path / "seeing.aw", policy="top:1", budget_ms=1000) as perceiver:
        decision = perceiver(dataset.test.images[0].numpy())
    assert decision.label == dataset.classes[expected[0]]
    assert len(decision.views) == 1


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("ending", [None, "Softmax"])
def test_openvino_ir(
    layout: str, ending: str | None, head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path
) -> None:
    form = Form(layout=layout, batch=1 if ending else "n", ending=ending, flatten="Reshape" if ending else "Flatten")
    openvino.save_model(
        openvino.convert_model(write(form, head, tmp_path)), tmp_path / "their.xml", compress_to_fp16=False
    )
    manifest = export_onnx(
        tmp_path / "their.xml", dataset, tmp_path / "their.aw", options=ExportOptions(precisions=("fp32", "int8"))
    )
    assert manifest.arch == "openvino:their"
    assert [(model.engine, model.precision) for model in manifest.models] == [
        ("openvino", model.precision) for model in manifest.models
    ]
    assert {model.precision for model in manifest.models} == {"fp32", "int8"}
    expected = run(build(Form(), head), normalized(dataset.test.images.numpy()))
    engine, _ = open_engine(Bundle.open(tmp_path / "their.aw"), "openvino", "fp32")
    np.testing.assert_allclose(infer_all(engine, dataset.test.images.numpy()), expected, atol=2e-3)
    engine.close()


@pytest.mark.slow
def test_bad_ir_is_told(head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path) -> None:
    model = openvino.convert_model(write(Form(), head, tmp_path))
    xml, weights = tmp_path / "their.xml", tmp_path / "their.bin"
    openvino.save_model(model, xml, compress_to_fp16=False)
    with pytest.raises(UsageError, match="3 outputs for each image, and --classes names 2"):
        open_foreign(xml, ("a", "b"))
    with pytest.raises(UsageError, match=r"takes NCHW, and --layout says nhwc"):
        open_foreign(xml, dataset.classes, InputSettings(layout="nhwc"))
    with pytest.raises(UsageError, match="OpenVINO IR, which only openvino runs, not onnx"):
        export_onnx(xml, dataset, tmp_path / "x.aw", options=ExportOptions(("onnx",)))
    content = xml.read_bytes()
    xml.write_bytes(content[: len(content) // 2])
    with pytest.raises(EngineError, match="no OpenVINO IR, or damaged"):
        open_foreign(xml, dataset.classes)
    xml.write_bytes(content)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(EngineError, match="no OpenVINO IR, or damaged"):
        open_foreign(xml, dataset.classes)
    weights.unlink()
    with pytest.raises(EngineError, match=r"their\.bin is missing"):
        open_foreign(xml, dataset.classes)


def test_probabilities_without_a_softmax_at_the_end_are_no_logits_in_ir(
    head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path
) -> None:
    """Taken for logits, they gave every class nearly the same confidence."""
    form = Form(layout="nchw", ending="Softmax")
    model = openvino.convert_model(write(form, head, tmp_path))
    clamped = openvino.opset8.clamp(model.get_results()[0].input_value(0), 1e-6, 1.0)
    model = openvino.Model([openvino.opset8.result(clamped)], model.get_parameters(), "clamped")
    openvino.save_model(model, tmp_path / "their.xml", compress_to_fp16=False)
    source, images = open_foreign(tmp_path / "their.xml", dataset.classes).source, dataset.test.images.numpy()[:4]
    expected = run(build(form, head), normalized(images))
    compiled = openvino.Core().compile_model(source.openvino(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for logits in (source.run(images), compiled(images)[0]):
        np.testing.assert_allclose(probabilities(logits), expected, atol=2e-3)


def test_the_number_of_a_class_is_no_score_in_ir(tmp_path: Path) -> None:
    graph = build(Form(outputs=2, batch=1))
    graph.graph.node[-1].output[0] = "scores"
    graph.graph.node.append(helper.make_node("ArgMax", ["scores"], ["output"], axis=1))
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(graph, tmp_path / "their.onnx")
    openvino.save_model(openvino.convert_model(tmp_path / "their.onnx"), tmp_path / "their.xml")
    with pytest.raises(EngineError, match="gives the number of a class and no scores"):
        open_foreign(tmp_path / "their.xml", ("off", "on"))


@pytest.mark.slow
def test_float16_ir_and_nan_weights(head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path) -> None:
    openvino.save_model(openvino.convert_model(write(Form(), head, tmp_path)), tmp_path / "half.xml")
    images = dataset.test.images.numpy()[:4]
    expected = run(build(Form(), head), normalized(images))
    np.testing.assert_allclose(
        open_foreign(tmp_path / "half.xml", dataset.classes).source.run(images), expected, atol=0.05
    )
    bad = head.copy()
    bad[0, 0] = np.nan
    model = openvino.convert_model(write(Form(), bad, tmp_path))
    openvino.save_model(model, tmp_path / "nan.xml", compress_to_fp16=False)
    with pytest.raises(EngineError, match="holds NaN"):
        open_foreign(tmp_path / "nan.xml", dataset.classes)


@pytest.mark.slow
def test_images_of_another_shape_are_prepared(
    head: npt.NDArray[np.float32], dataset: Dataset, folder: Path, tmp_path: Path
) -> None:
    model = build(Form(), head)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 24
    onnx.save(model, tmp_path / "wide.onnx")
    options = ExportOptions(("onnx",), ("fp32",))
    wide = open_dataset(f"folder:{folder}", (24, 32), crop=Crop("squash"))
    export_onnx(tmp_path / "wide.onnx", wide, tmp_path / "wide.aw", crop=Crop("squash"), options=options)
    assert Bundle.open(tmp_path / "wide.aw").input == InputSpec(24, 32, crop=Crop("squash"))
    large = Split(torch.zeros(3, 48, 48, 3, dtype=torch.uint8), torch.arange(3))
    other = dataclasses.replace(dataset, train=large, val=large, test=large)
    with pytest.raises(UsageError, match=r"32 x 24 px, .* opened at 48 x 48 px; open it with size=\(24, 32\)"):
        export_onnx(tmp_path / "wide.onnx", other, tmp_path / "x.aw", options=options)
    with pytest.raises(UsageError, match="it also has"):
        export_onnx(tmp_path / "wide.onnx", wide, tmp_path / "x.aw", classes=("a", "b", "c"), options=options)


def test_classes_in_a_wrong_order_are_refused_unless_forced(
    head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the bundle would decide wrongly, and the command succeed."""
    path, out = write(FORMS[0], head, tmp_path), tmp_path / "their.aw"
    only = ExportOptions(("onnx",), ("fp32",))
    names = ("green", "red", "blue")  # its outputs are blue, green, red
    with pytest.raises(
        UsageError, match="blue, green, red: then correct --classes, in Python classes=; --force, in Python"
    ):
        export_onnx(path, dataset, out, classes=names, options=only)
    assert not out.exists()
    export_onnx(path, dataset, out, classes=names, options=dataclasses.replace(only, force=True))
    assert "correct --classes" in caplog.text
    assert Bundle.open(out).classes == names


def test_a_larger_classifier_joins_the_bundle(head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path) -> None:
    path, larger, out = write(FORMS[0], head, tmp_path), tmp_path / "larger.onnx", tmp_path / "both.aw"
    onnx.save(build(FORMS[2], head), larger)
    manifest = export_onnx(path, dataset, out, large=str(larger), options=ExportOptions(("onnx",), ("fp32",)))
    assert [(model.role, model.parity.agreement) for model in manifest.models] == [("classifier", 1), ("large", 1)]
    with load(out, policy="center+large") as perceiver:
        decision = perceiver(dataset.test.images[0].numpy())
    assert decision.views == ("identity", "large:identity")

    names = ("green", "red", "blue")
    only = open_foreign(larger, names)
    with pytest.raises(UsageError, match="larger has other classes than onnx:their colors, or the same in another"):
        export_foreign(open_foreign(path, dataset.classes), dataset, tmp_path / "x.aw", large=only)
    onnx.save(build(dataclasses.replace(FORMS[2], side=48), head), larger)
    any_size = tmp_path / "any.onnx"
    onnx.save(build(dataclasses.replace(FORMS[0], side=None), head), any_size)
    for first, size in ((path, None), (any_size, 32)):
        with pytest.raises(
            UsageError, match=r"takes images of 48 x 48 px, and the .* 32 x 32 px; both classifiers run"
        ):
            export_onnx(first, dataset, tmp_path / "x.aw", size=size, large=larger)
    with pytest.raises(UsageError, match=r"is the same file as the first one, .*their.*\.onnx; name another"):
        export_onnx(path, dataset, tmp_path / "x.aw", large=path)
    assert not (tmp_path / "x.aw").exists()
    only_fp32 = ExportOptions(("onnx",), ("fp32",))
    assert len(export_onnx(path, dataset, tmp_path / "x.aw", large=any_size, options=only_fp32).models) == 2
