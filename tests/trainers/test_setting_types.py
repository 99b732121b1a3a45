"""Settings are checked where they are made: a value of any other type is told in one line that names the field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import check_size
from allweather.trainers.data.split import check_batch_size
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec
from allweather.trainers.steps.arguments import check_seed
from allweather.trainers.training.settings import FitSettings

REQUIRED: Mapping[type, Mapping[str, Any]] = {
    FitSettings: {},
    TrainConfig: {},
    FinetuneSettings: {"method": "fma"},
    PredictorSettings: {},
    LearnAugmentationSettings: {},
    CopySettings: {},
}
FIELDS = [(kind, field.name) for kind in REQUIRED for field in dataclasses.fields(kind)]
OTHER_TYPES = [b"x", {}, object(), 1j, [None], (object(),)]  # no setting is any of these
ODD_VALUES = ["x", "", 5, -1, 2.5, math.nan, -math.inf, True, None, 2**70]  # some settings may be one of these


def test_numbers_of_numpy_become_plain_ones() -> None:
    settings = FitSettings(epochs=np.int64(3), lr=np.float32(0.5))  # type: ignore[arg-type]
    assert (type(settings.epochs), type(settings.lr)) == (int, float)
    assert settings == FitSettings(epochs=3, lr=0.5)
    with pytest.raises(UsageError, match=r"epochs must be a whole number; got 3\.0"):
        FitSettings(epochs=np.float64(3))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="epochs must be a whole number; got bool"):
        FitSettings(epochs=np.True_)  # type: ignore[arg-type]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert {type(side) for side in check_size((np.int64(32), np.uint8(48)), "size")} == {int}  # type: ignore[arg-type]
    check_seed(np.int64(3))  # type: ignore[arg-type]
    check_batch_size(np.int32(3))  # type: ignore[arg-type]
    Reading(workers=np.int64(0))  # type: ignore[arg-type]
    images = [(np.zeros((32, 32, 3), np.uint8), label) for label in (0, 1, 0, 1)]
    data = Dataset.from_torch(images, images, classes=["a", "b"], size=np.int64(32), seed=np.int64(0))  # type: ignore[arg-type]
    assert len(data.with_test_images(np.int64(2), np.int64(0)).test) == 2  # type: ignore[arg-type]
    assert len(data.subset(0.5, np.int64(0)).train) == 2  # type: ignore[arg-type]
    for other in (np.float64(3), np.True_, np.int64(-1)):
        with pytest.raises(UsageError, match="whole number"):
            check_seed(other)  # type: ignore[arg-type]


def test_the_input_of_a_predictor_is_that_of_an_input() -> None:
    assert predictor_input_spec(InputSpec(128, 64)) == InputSpec(64, 32)
    for other in (128, (128, 64), None):
        with pytest.raises(UsageError, match=r"classifier is a InputSpec; got .*InputSpec\(height, width\) is one"):
            predictor_input_spec(other)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_value_of_a_type_that_no_setting_has_is_refused(kind: type, name: str) -> None:
    for value in OTHER_TYPES:
        with pytest.raises(UsageError) as caught:
            kind(**{**REQUIRED[kind], name: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_an_odd_value_is_taken_as_it_is_or_refused(kind: type, name: str) -> None:
    for value in ODD_VALUES:
        try:
            made = kind(**{**REQUIRED[kind], name: value})
        except UsageError:
            continue
        assert type(getattr(made, name)) is type(value)
        assert not (isinstance(value, float) and not math.isfinite(value)), f"{name} = {value}"


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (FitSettings, {"lr": "0.1"}, "lr must be a number or None; got '0.1'"),
        (FitSettings, {"hflip": "no"}, "hflip must be True or False or None; got 'no'"),
        (FitSettings, {"epochs": True}, "epochs must be a whole number; got True"),
        (TrainConfig, {"variants": "rx"}, "variants are names such as rh.*got 'rx'"),
        (FinetuneSettings, {"layers": "layer1"}, "layers must be a tuple, each item text; got 'layer1'"),
        (FinetuneSettings, {"fit": {"epochs": 3}}, "fit must be a FitSettings; got dict"),
        (PredictorSettings, {"copy_settings": 3}, "copy settings must be a CopySettings; got 3"),
        (PredictorSettings, {"kind": 5}, "kind must be text; got 5"),
        (CopySettings, {"copies": 2.5}, "copies must be a whole number; got 2.5"),
        (CopySettings, {"seed": -1}, "seed of the copies is at least 0; got -1"),
    ],
)
def test_the_message_names_the_field_and_what_it_takes(kind: type, values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        kind(**REQUIRED[kind] | values)


def test_a_list_stands_for_a_tuple() -> None:
    assert PredictorSettings(views=["identity", "hflip"]).views == ("identity", "hflip")  # type: ignore[arg-type]
    assert FinetuneSettings("fma", layers=["layer1"]).layers == ("layer1",)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_views", [0, -1, True, 2.5, "2", None])
def test_a_loss_predictor_has_a_view_to_predict_for(num_views: Any) -> None:
    with pytest.raises(UsageError, match="a whole number of views, at least 1"):
        build_predictor("tiny", InputSpec(32, 32), num_views)
