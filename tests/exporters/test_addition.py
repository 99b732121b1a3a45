"""A loss predictor and policies are added to a bundle whose classifier stays as it is, byte for byte."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.exporters.addition import add_to_bundle
from allweather.exporters.calibration import corrupt_every_second
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.model_card import MODEL_CARD
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import ParityError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec

pytestmark = pytest.mark.slow  # a classifier is trained and compiled

VIEWS = ("identity", "hflip", "sharpness3")
HFLIP = Policy("set:identity,hflip", "all", ("identity", "hflip"), 2)


@pytest.fixture(scope="module")
def predictor(checkpoint: Checkpoint) -> TrainedPredictor:
    torch.manual_seed(1)
    spec = predictor_input_spec(checkpoint.input)
    model = build_predictor("tiny", spec, len(VIEWS)).train()
    with torch.no_grad():
        for _ in range(30):  # statistics for BatchNorm
            model(torch.rand(32, 3, spec.height, spec.width))
    return TrainedPredictor("tiny", spec, VIEWS, "0" * 16, model.state_dict())


@pytest.fixture(scope="module")
def extended(
    exported: tuple[Path, Manifest], predictor: TrainedPredictor, dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    out = tmp_path_factory.mktemp("extended") / "extended.zip"
    add_to_bundle(exported[0], predictor, [parse_policy("top:1"), HFLIP], dataset, out)
    return out


def wild(predictor: TrainedPredictor) -> TrainedPredictor:
    """Returns a predictor whose losses are so large that float32 rounds them by more than the parity gate allows."""
    weights = {key: 1e8 * value if value.dim() == 2 else value for key, value in predictor.weights.items()}
    return dataclasses.replace(predictor, weights=weights)


def test_a_predictor_that_the_gate_rejects_is_not_left_out_in_silence(
    exported: tuple[Path, Manifest], predictor: TrainedPredictor, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match=r"no loss predictor passes .*; train it for longer"):
        add_to_bundle(exported[0], wild(predictor), [parse_policy("top:1")], dataset, tmp_path / "out.aw")
    assert not (tmp_path / "out.aw").exists()


def test_an_export_without_the_predictor_of_its_checkpoint_is_refused(
    checkpoint: Checkpoint, predictor: TrainedPredictor, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match=r"no loss predictor passes .*; --force"):
        export(
            dataclasses.replace(checkpoint, predictor=wild(predictor)),
            dataset, tmp_path / "out.aw", ExportOptions(("openvino",), ("fp32",)),
        )  # fmt: skip


def test_the_classifier_stays_as_it_is(exported: tuple[Path, Manifest], extended: Path) -> None:
    before, after = Bundle.open(exported[0]), Bundle.open(extended)
    for name, stored in before.manifest.files.items():
        assert after.manifest.files[name] == stored or name == MODEL_CARD
    assert [model for model in after.manifest.models if model.role == "classifier"] == list(before.manifest.models)
    engines = {model.engine for model in after.manifest.models if model.role == "predictor"}
    assert engines == {"onnx", "openvino"}
    assert after.manifest.views == VIEWS


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_perceiver_follows_the_predictor(
    engine: str, extended: Path, predictor: TrainedPredictor, dataset: Dataset
) -> None:
    model = predictor.model()
    agreeing = []
    with load(extended, engine=engine) as perceiver:
        assert perceiver.policy.name == "top:1"
        assert perceiver.policy.views == VIEWS
        for image in corrupt_every_second(dataset.test.images.numpy()[:20]):
            losses = logits(model, torch.from_numpy(image[None]))[0]
            agreeing.append(perceiver(image).views == (VIEWS[int(losses.argmin())],))
    assert np.mean(agreeing) >= 0.9


def test_few_training_images_cost_int8_and_no_trained_predictor(
    exported: tuple[Path, Manifest], predictor: TrainedPredictor, dataset: Dataset, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    few = dataclasses.replace(dataset, train=dataset.train.take(torch.arange(31)))
    manifest = add_to_bundle(exported[0], predictor, None, few, tmp_path / "x.aw")
    assert {model.precision for model in manifest.models if model.role == "predictor"} == {"fp32"}
    assert "has 31 training images, and INT8 needs 32" in caplog.text


def test_policies_alone_need_no_data(extended: Path, tmp_path: Path) -> None:
    manifest = add_to_bundle(Bundle.open(extended), None, [HFLIP], None, tmp_path / "x.aw")
    assert manifest.policies == (HFLIP,)
    before, after = Bundle.open(extended).manifest, Bundle.open(tmp_path / "x.aw").manifest
    assert (after.models, after.views) == (before.models, before.views)
    assert {name for name in after.files if after.files[name] != before.files.get(name)} == {MODEL_CARD}


def test_another_predictor_replaces_the_first(
    extended: Path, predictor: TrainedPredictor, dataset: Dataset, tmp_path: Path
) -> None:
    two = dataclasses.replace(
        predictor, views=VIEWS[:2], weights=build_predictor("tiny", predictor.input, 2).state_dict()
    )
    manifest = add_to_bundle(extended, two, None, dataset, tmp_path / "two.aw")
    assert manifest.views == VIEWS[:2]
    assert manifest.policies[0].views == VIEWS[:2]
    names = [(model.role, model.engine, model.precision) for model in Bundle.open(tmp_path / "two.aw").manifest.models]
    assert len(names) == len(set(names))


def test_what_cannot_work_is_refused_and_nothing_written(
    exported: tuple[Path, Manifest], predictor: TrainedPredictor, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"cannot replace .* from which it is made; name another --out"):
        add_to_bundle(exported[0], None, [HFLIP], None, exported[0].parent / "." / exported[0].name)
    with pytest.raises(UsageError, match="give a data set"):
        add_to_bundle(exported[0], predictor, None, None, tmp_path / "x.aw")
    pets = dataclasses.replace(dataset, classes=("cat", "cow", "dog"))
    with pytest.raises(UsageError, match="it also has cat, cow, dog"):
        add_to_bundle(exported[0], predictor, None, pets, tmp_path / "x.aw")
    with pytest.raises(UsageError, match=r"the number of views is 1 to 3; got 9"):
        add_to_bundle(exported[0], predictor, [parse_policy("top:9")], dataset, tmp_path / "x.aw")
    assert list(tmp_path.iterdir()) == []
