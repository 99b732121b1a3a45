"""The export of a classifier: what the bundle holds, what is rejected, and what the errors say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from trained_models import SMALL_NETWORK

from allweather.exporters.calibration import calibration_set
from allweather.exporters.candidates import CandidateBuilder
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.latency import measure_latency
from allweather.exporters.onnx.convert import to_onnx
from allweather.exporters.parity import ModelOutputs, check_parity
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import EngineName, Manifest, Precision
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.errors import DataError, EngineError, ParityError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.registry import build_model

pytestmark = pytest.mark.slow  # classifiers are trained, compiled and quantized


def test_every_model_predicts_as_torch_does(
    exported: tuple[Path, Manifest], checkpoint: Checkpoint, dataset: Dataset
) -> None:
    bundle = Bundle.open(exported[0])
    images = dataset.val.images
    reference = ModelOutputs(logits(checkpoint.classifier(), images).numpy(), None)
    assert {(model.engine, model.precision) for model in bundle.manifest.models} == {
        (engine, precision) for engine in ("openvino", "onnx") for precision in ("fp32", "int8")
    }
    for model in bundle.manifest.models:
        engine, chosen = open_engine(bundle, model.engine, model.precision)
        assert chosen == model
        outputs = ModelOutputs(infer_all(engine, images.numpy()), None)
        engine.close()
        parity = check_parity(outputs, reference, dataset.val.labels.numpy(), model.precision).parity
        assert parity.accuracy == model.parity.accuracy
        if model.precision == "fp32":
            assert parity.largest_logit_difference < 1e-4
            assert parity.agreement == 1
        else:
            assert parity.agreement >= 0.9
        assert all(seconds > 0 for seconds in model.seconds)


def test_int8_models_really_compute_in_int8(exported: tuple[Path, Manifest]) -> None:
    bundle = Bundle.open(exported[0])
    graph = onnx.load_from_string(bundle.read("onnx/classifier-int8.onnx"))
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph.node) > 7  # an activation of each convolution
    plain, small = (len(bundle.read(f"openvino/classifier-{kind}.bin")) for kind in ("fp32", "int8"))
    assert small < 0.35 * plain
    assert b'element_type="i8"' in bundle.read("openvino/classifier-int8.xml")


def test_the_bundle_says_where_its_calibration_comes_from(exported: tuple[Path, Manifest], dataset: Dataset) -> None:
    provenance = exported[1].calibration
    assert provenance is not None
    assert (provenance.data, provenance.split, provenance.images) == (dataset.name, "train", 120)
    assert provenance.corrupted == 60
    chosen = calibration_set(dataset).images
    train = {image.numpy().tobytes() for image in dataset.train.images}
    known = [image.tobytes() in train for image in chosen]
    assert all(known[::2])
    assert not any(known[1::2])


def test_the_graph_takes_bytes_of_any_batch_and_holds_no_paths(checkpoint: Checkpoint) -> None:
    content = to_onnx(checkpoint.classifier(), checkpoint.input)
    model = onnx.load_from_string(content)
    assert model.opset_import[0].version >= 17
    shape = model.graph.input[0].type.tensor_type
    assert shape.elem_type == onnx.TensorProto.UINT8
    assert shape.shape.dim[0].dim_param
    assert [dim.dim_value for dim in shape.shape.dim[1:]] == [32, 32, 3]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert b"/work" not in content
    assert b"site-packages" not in content


def test_another_architecture_exports_too(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_model(SMALL_NETWORK, 3, InputSpec(32, 32))
    checkpoint = Checkpoint(SMALL_NETWORK, dataset.classes, InputSpec(32, 32), model.network.state_dict(), "x", 0)
    manifest = export(checkpoint, dataset, tmp_path / "x.zip", ExportOptions(["onnx"], ["fp32"]))
    assert manifest.models[0].parity.largest_logit_difference < 1e-3
    assert Bundle.open(tmp_path / "x.zip").classes == dataset.classes


def test_int8_with_too_few_calibration_images_is_an_error(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    few = Dataset("few", dataset.classes, dataset.train.take(torch.arange(5)), dataset.val, dataset.test, hflip=True)
    with pytest.raises(DataError, match="at least 32 training images for calibration; few has 5"):
        export(checkpoint, few, tmp_path / "x.aw", ExportOptions(["openvino"], ["int8"]))
    assert list(tmp_path.iterdir()) == []


def test_data_of_other_classes_or_size_is_refused(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    pets = Split(torch.zeros(4, 32, 32, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    other = Dataset("pets", ("cat", "dog"), pets, pets, pets, hflip=True)
    with pytest.raises(UsageError, match=r"pets has 2 .*: it lacks blue, green, red and it also has cat, dog"):
        export(checkpoint, other, tmp_path / "x.aw", ExportOptions(["onnx"], ["fp32"]))
    large = Split(torch.zeros(4, 48, 48, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    other = Dataset("large", dataset.classes, large, large, large, hflip=True)
    with pytest.raises(UsageError, match=r"images of 32 x 32 px .*, but large was opened at 48 x 48 px"):
        export(checkpoint, other, tmp_path / "x.aw", ExportOptions(["onnx"], ["fp32"]))


def test_the_latency_is_the_duration_of_calls() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    seconds = measure_latency(FakeEngine(3, 0.5, sleep), np.zeros((8, 8, 3), np.uint8), lambda: now[0])
    assert seconds == pytest.approx((0.5, 1.0, 1.5, 2.0))


def test_the_latency_is_the_same_while_other_programs_run() -> None:
    """Which model is the faster one depends on it, and they are timed one after the other."""
    now, calls = [0.0], [0]

    def sleep(seconds: float) -> None:
        calls[0] += 1
        now[0] += seconds * (3 if calls[0] < 60 else 1)

    seconds = measure_latency(FakeEngine(3, 0.5, sleep), np.zeros((8, 8, 3), np.uint8), lambda: now[0])
    assert seconds == pytest.approx((0.5, 1.0, 1.5, 2.0))


def test_fp32_and_the_fastest_model_are_kept(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    manifest = export(checkpoint, dataset, tmp_path / "all.aw")
    for engine in ("openvino", "onnx"):
        kept = [model for model in manifest.models if model.engine == engine]
        rejected = [model for model in manifest.rejected if model.engine == engine]
        assert {model.precision for model in (*kept, *rejected)} >= {"fp32", "int8"}
        assert "fp32" in {model.precision for model in kept}
        slower = [model for model in rejected if "model is faster" in model.reason]
        fastest = min((*kept, *slower), key=lambda model: model.seconds[0])
        assert kept[0] == fastest
        _, chosen = open_engine(Bundle.open(tmp_path / "all.aw"), engine)
        assert chosen == kept[0]


def test_tensorrt_models_are_typed_and_share_their_graphs(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    manifest = export(
        checkpoint, dataset, tmp_path / "rt.aw", ExportOptions(["onnx", "tensorrt"], ["fp32", "fp16", "int8"])
    )
    models = {(model.engine, model.precision): model for model in manifest.models}
    assert set(models) == {
        ("onnx", "fp32"),
        ("onnx", "int8"),
        *(("tensorrt", kind) for kind in ("fp32", "fp16", "int8")),
    }
    assert models["onnx", "int8"].file == models["tensorrt", "int8"].file
    assert models["tensorrt", "int8"].seconds == ()
    graph = onnx.load_from_string(Bundle.open(tmp_path / "rt.aw").read(models["tensorrt", "fp16"].file)).graph
    large = [tensor for tensor in graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.FLOAT16}
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_a_precision_that_an_engine_does_not_have_is_refused(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="onnx models are not exported in fp16; choose one of fp32, int8"):
        export(checkpoint, dataset, tmp_path / "x.aw", ExportOptions(["onnx"], ["fp16"]))


@pytest.fixture
def incorrect_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every INT8 graph predicts class 0."""
    original = CandidateBuilder._compile

    def compile_incorrectly(self: CandidateBuilder, engine: EngineName, precision: Precision) -> tuple[bytes, bytes]:
        graph, weights = original(self, engine, precision)
        if precision == "int8":
            model = onnx.load_from_string(graph)
            bias = next(one for one in model.graph.initializer if one.name.endswith("linear.bias"))
            bias.CopyFrom(onnx.numpy_helper.from_array(np.array([99, 0, 0], np.float32), bias.name))
            graph = model.SerializeToString()
        return graph, weights

    monkeypatch.setattr(CandidateBuilder, "_compile", compile_incorrectly)


@pytest.mark.usefixtures("incorrect_int8")
def test_a_model_that_fails_the_parity_gate_is_rejected_and_the_bundle_says_why(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    manifest = export(checkpoint, dataset, tmp_path / "x.aw", ExportOptions(["onnx"], ["fp32", "int8"]))
    assert [model.precision for model in manifest.models] == ["fp32"]
    (rejected,) = Bundle.open(tmp_path / "x.aw").manifest.rejected
    assert rejected.precision == "int8"
    assert "points of accuracy on clean images; 0.5 are allowed" in rejected.reason
    with pytest.raises(ParityError, match=r"no classifier passes .*\(onnx int8: it agrees with torch on .*--force"):
        export(checkpoint, dataset, tmp_path / "y.aw", ExportOptions(["onnx"], ["int8"]))
    assert not (tmp_path / "y.aw").exists()


@pytest.mark.usefixtures("incorrect_int8")
def test_a_forced_model_is_marked(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    export(checkpoint, dataset, tmp_path / "x.aw", ExportOptions(["onnx"], ["int8"], force=True))
    (model,) = Bundle.open(tmp_path / "x.aw").manifest.models
    assert "points of accuracy" in model.forced


class Foreign(nn.Module):
    """A user's own model."""

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, images: Tensor) -> Tensor:
        return self.compute(images.mean((2, 3)))


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: torch.special.gammainc(x, x + 1), "operation prims.igamma, which ONNX does not have"),
        (lambda x: x if x.sum() > 0 else -x, "an `if` on a tensor"),
    ],
)
def test_a_model_that_cannot_be_exported_gets_the_cause(
    compute: Callable[[Tensor], Tensor], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        to_onnx(Foreign(compute), InputSpec(8, 8))
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precisions": ["fp8"]}, "no precision is called 'fp8'"),
        ({"engines": ["ONNX"]}, "no engine is called 'ONNX'"),
        ({"engines": ()}, "nothing would be exported: name an engine"),
        ({"precisions": ()}, "nothing would be exported: name an engine"),
    ],
)
def test_export_options_that_export_nothing_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(**values)


def test_what_is_no_checkpoint_is_told_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset is a Dataset; got str 'folder:x': load_dataset"):
        export("x.safetensors", "folder:x", tmp_path / "x.aw")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"starts from a trained classifier: .* got resnet20"):
        export("resnet20", dataset, tmp_path / "x.aw")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("values", [{"engines": "onnx"}, {"engines": 5}, {"precisions": "fp32"}, {"force": "no"}])
def test_options_of_another_type_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(values))} must be"):
        ExportOptions(**values)
