"""A loss predictor in a file of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor, load_predictor, save_predictor
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.loss_predictor import build_predictor
from allweather.trainers.models.registry import build_model

SPEC = InputSpec(16, 16)


@pytest.fixture
def trained() -> TrainedPredictor:
    torch.manual_seed(0)
    weights = build_predictor("tiny", SPEC).state_dict()
    return TrainedPredictor("tiny", SPEC, tuple(VIEWS), "0123456789abcdef", weights, {"loss": "regret"}, {"best": 0.5})


def test_round_trip(trained: TrainedPredictor, tmp_path: Path) -> None:
    save_predictor(tmp_path / "p.safetensors", trained)
    back = load_predictor(tmp_path / "p.safetensors")
    assert dataclasses.replace(back, weights={}) == dataclasses.replace(trained, weights={})
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(back.model()(x), trained.model()(x))


def test_an_unknown_view_is_refused_by_name(trained: TrainedPredictor) -> None:
    other = dataclasses.replace(trained, views=(*tuple(VIEWS)[:-1], "deblur"))
    with pytest.raises(CheckpointError, match=r"'deblur'.*train the predictor again"):
        other.model()


def test_a_predictor_has_one_output_for_each_of_its_own_views(tmp_path: Path) -> None:
    views = ("zoom1.2/hflip", "identity", "color2")
    weights = build_predictor("tiny", SPEC, len(views)).state_dict()
    save_predictor(tmp_path / "p.safetensors", TrainedPredictor("tiny", SPEC, views, "0123456789abcdef", weights))
    back = load_predictor(tmp_path / "p.safetensors")
    assert back.views == views
    assert back.model()(torch.rand(2, 3, 16, 16)).shape == (2, len(views))


def test_weights_that_do_not_fit_are_refused(trained: TrainedPredictor) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be built: its weights .* train it again"):
        dataclasses.replace(trained, weights={}).model()
    with pytest.raises(CheckpointError, match="no loss predictor is called 'huge'"):
        dataclasses.replace(trained, kind="huge").model()


def test_another_classifier_is_refused(trained: TrainedPredictor) -> None:
    classifier = build_model("resnet20", 3, InputSpec(32, 32))
    dataclasses.replace(trained, classifier_digest=weights_digest(classifier)).check_classifier(classifier)
    with pytest.raises(UsageError, match="trained for another classifier"):
        trained.check_classifier(classifier)


def test_other_and_damaged_files_are_refused(trained: TrainedPredictor, tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds no loss predictor"):
        load_predictor(path)
    save_predictor(path, trained)
    tensors, header = tensor_file.read(path)
    assert header is not None
    for change in ({"schema_version": "1.5"}, {"extra": 1}, {"views": []}, {"input": {"height": 0}}):
        save_file(tensors, path, {"allweather": json.dumps({**header, **change})})
        with pytest.raises(CheckpointError, match=r"is damaged: .*; train the predictor again"):
            load_predictor(path)
