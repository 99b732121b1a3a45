from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from allweather.exporters.calibrate import calibration_set
from allweather.exporters.export import export
from allweather.exporters.to_onnx import to_onnx
from allweather.exporters.verify import compare, cost_curve, tolerance
from allweather.runtimes.bundle import Bundle
from allweather.runtimes.engine import answer_all, open_engine
from allweather.runtimes.engine_fake import FakeEngine
from allweather.runtimes.errors import DataError, ParityError, UsageError
from allweather.runtimes.image import InputSpec
from allweather.runtimes.manifest import Manifest
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.models import build
from allweather.trainers.splits import Dataset, Split
from allweather.trainers.targets import logits


def test_every_model_answers_as_torch_does(
    exported: tuple[Path, Manifest], checkpoint: Checkpoint, dataset: Dataset
) -> None:
    bundle = Bundle.open(exported[0])
    reference = logits(checkpoint.classifier(), dataset.test.images).numpy()
    assert {(model.engine, model.precision) for model in bundle.manifest.models} == {
        (engine, precision) for engine in ("openvino", "onnx") for precision in ("fp32", "int8")
    }
    for model in bundle.manifest.models:
        engine, chosen = open_engine(bundle, model.engine, model.precision)
        assert chosen == model
        got = answer_all(engine, dataset.test.images.numpy())
        engine.close()
        parity = compare(got, reference, dataset.test.labels.numpy())
        assert parity.largest_logit_difference == pytest.approx(model.parity.largest_logit_difference, abs=1e-4)
        if model.precision == "fp32":
            assert parity.largest_logit_difference < 1e-4
            assert parity.agreement == 1
        else:
            assert parity.agreement >= 0.9
        assert all(seconds > 0 for seconds in model.seconds)


def test_int8_models_really_compute_in_int8(exported: tuple[Path, Manifest]) -> None:
    bundle = Bundle.open(exported[0])
    graph = onnx.load_from_string(bundle.read("onnx/classifier-int8.onnx"))
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph.node) > 15
    plain, small = (len(bundle.read(f"openvino/classifier-{kind}.bin")) for kind in ("fp32", "int8"))
    assert small < 0.35 * plain
    assert b'element_type="i8"' in bundle.read("openvino/classifier-int8.xml")


def test_the_bundle_says_where_its_calibration_comes_from(exported: tuple[Path, Manifest], dataset: Dataset) -> None:
    provenance = exported[1].calibration
    assert provenance is not None
    assert (provenance.data, provenance.split, provenance.images) == (dataset.name, "train", 120)
    chosen = calibration_set(dataset).images
    train = {image.numpy().tobytes() for image in dataset.train.images}
    assert all(image.tobytes() in train for image in chosen)


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


@pytest.mark.parametrize("arch", ["vgg16", "resnet18"])
def test_other_architectures_export_too(arch: str, dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build(arch, 3, InputSpec(32, 32))
    checkpoint = Checkpoint(arch, dataset.classes, InputSpec(32, 32), model.network.state_dict(), "x", 0)
    manifest = export(checkpoint, dataset, tmp_path / "x.zip", engines=["onnx"], precisions=["fp32"])
    assert manifest.models[0].parity.largest_logit_difference < 1e-3
    assert Bundle.open(tmp_path / "x.zip").classes == dataset.classes


def test_int8_without_pictures_to_calibrate_on_is_an_error(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    few = Dataset("few", dataset.classes, dataset.train.take(torch.arange(5)), dataset.val, dataset.test, mirrors=True)
    with pytest.raises(DataError, match="INT8 needs at least 32 training pictures to calibrate on; few has 5"):
        export(checkpoint, few, tmp_path / "x.aw", engines=["openvino"], precisions=["int8"])
    assert list(tmp_path.iterdir()) == []


def test_data_of_other_classes_or_size_is_refused(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    other = Dataset("pets", ("cat", "dog"), dataset.train, dataset.val, dataset.test, mirrors=True)
    with pytest.raises(UsageError, match="the data has 2"):
        export(checkpoint, other, tmp_path / "x.aw", engines=["onnx"], precisions=["fp32"])
    large = Split(torch.zeros(4, 48, 48, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    other = Dataset("large", dataset.classes, large, large, large, mirrors=True)
    with pytest.raises(UsageError, match="takes 32 px, large came in 48 px"):
        export(checkpoint, other, tmp_path / "x.aw", engines=["onnx"], precisions=["fp32"])


def test_an_fp32_model_that_differs_does_not_pass() -> None:
    reference = np.zeros((4, 3), np.float32)
    wrong = compare(reference + 0.5, reference, np.zeros(4, np.int64))
    with pytest.raises(ParityError, match=r"off by 0.5 from torch's, where 0.01 is allowed"):
        tolerance("fp32", wrong)
    assert tolerance("int8", wrong) == 0.5
    nothing = compare(np.full_like(reference, 1e-6), reference, np.zeros(4, np.int64))
    assert tolerance("fp32", nothing) == 0.01


def test_the_cost_curve_is_the_time_of_calls() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    curve = cost_curve(FakeEngine(3, 0.5, sleep), np.zeros((8, 8, 3), np.uint8), lambda: now[0])
    assert curve == pytest.approx((0.5, 1.0, 1.5, 2.0))
