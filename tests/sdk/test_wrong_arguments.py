"""Arguments of another type are told in one line, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import allweather
from allweather import trainers
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.tta.confidence_model import check_share
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.policies.comparison import compare_policies, parse_requested

ANYTHING: list[Any] = [3, 1.5, float("nan"), b"x", object(), np.zeros((8, 4)), torch.zeros(8, 4), {"a": 1}, [1], "none"]
IMAGES = torch.zeros(2, 3, 32, 32)


def _calls() -> dict[str, Callable[[Any], Any]]:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    policy = parse_policy("hflip")
    return {
        "metric": lambda value: trainers.ai_loss(torch.zeros(2, 4), torch.zeros(2, 4), value),
        "maps": trainers.feature_map_loss,
        "model of a pair": lambda value: trainers.run_pair(value, IMAGES, IMAGES),
        "images of a pair": lambda value: trainers.run_pair(model, value, IMAGES),
        "layers": lambda value: trainers.run_pair(model, IMAGES, IMAGES, layers=value),
        "view": lambda value: trainers.apply_view(IMAGES, value),
        "module": lambda value: trainers.view_losses(value, IMAGES, torch.zeros(2, dtype=torch.int64)),
        "recipe": trainers.recipe,
        "checkpoint": lambda value: trainers.save_checkpoint("unused.safetensors", value),
        "wrapped": lambda value: trainers.TTAWrapper(value, "hflip"),
        "predictor": lambda value: trainers.TTAWrapper(model, "hflip", predictor=value),
        "merge mode": lambda value: trainers.TTAWrapper(model, "hflip", merge_mode=value),
        "precision": lambda value: trainers.launch(1, value),
        "stream": lambda value: trainers.load_dataset("signs", 32, stream=value),
        "pick": lambda value: replace(policy, pick=value),
        "views": lambda value: replace(policy, views=value),
        "average": lambda value: replace(policy, averages=value),
        "hflip": lambda value: replace(policy, hflip=value),
        "crop": lambda value: allweather.Crop(value),
        "name of a predictor": lambda value: trainers.build_predictor(value, allweather.InputSpec(32, 32)),
        "input of a predictor": lambda value: trainers.build_predictor("tiny", value),
        "views of losses": lambda value: trainers.fit_loss_predictor(IMAGES, torch.zeros(2, 1), views=value),
        "settings of a predictor": lambda value: trainers.fit_loss_predictor(
            IMAGES, torch.zeros(2, 1), views=["identity"], settings=value
        ),
        "model of strengths": lambda value: trainers.augmentation_strengths(value, IMAGES, torch.zeros(2).long()),
        "model of activations": lambda value: trainers.capture_activations(value).__enter__(),
        "classes of a checkpoint": lambda value: trainers.Checkpoint.of(model, value, 32),
        "hflip of a checkpoint": lambda value: trainers.Checkpoint.of(model, ["a", "b"], 32, hflip=value),
        "mean": lambda value: allweather.InputSpec(32, 32, value),
    }


@pytest.mark.parametrize("name", list(_calls()))
def test_an_argument_of_another_type_is_told_in_one_line(name: str) -> None:
    for value in ANYTHING:
        with pytest.raises(AllweatherError) as caught:
            _calls()[name](value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "2", 1.5, [1], np.zeros((8, 4)), True])
def test_a_number_of_another_type_is_told_in_one_line(value: Any) -> None:
    model = torch.nn.Flatten()
    for call in (lambda: trainers.launch(value), lambda: trainers.TTAWrapper(model, "hflip", seed=value)):
        with pytest.raises(UsageError) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, b"x", ["a"], np.zeros(3)])
def test_names_of_a_checkpoint_are_text(value: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
    for call in (
        lambda: trainers.Checkpoint.of(model, ["a", "b"], 32, data=value),
        lambda: trainers.Checkpoint.of(model, ["a", "b"], 32, name=value),
    ):
        with pytest.raises(UsageError, match="is text; got"):
            call()


def test_a_checkpoint_takes_a_network_and_class_names_and_an_input(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
    path, weights = tmp_path / "model.safetensors", tmp_path / "model.pth"
    trainers.save_checkpoint(path, trainers.Checkpoint.of(model, ("cat", "dog"), 32))
    torch.save(model.state_dict(), weights)
    spec = allweather.InputSpec(32, 32)
    for value in (3, b"x", np.zeros((8, 4)), model.state_dict()):
        with pytest.raises(UsageError, match="model is a Module"):
            trainers.load_checkpoint(path, value)
    for classes, given in ((3, spec), (None, spec), (("cat", "dog"), 32), (("cat", "cat"), spec)):
        with pytest.raises(AllweatherError) as caught:
            trainers.checkpoint_from_state_dict(weights, model, classes, given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "2", "x", [1], object(), float("nan"), True])
def test_numbers_of_a_tuning_are_numbers(value: Any) -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match=r"^the largest number of views for an image is at least 1; got "):
        compare_policies(nothing, nothing, (), hflip=True, max_views=value)
    with pytest.raises(UsageError, match=r"^the risk of accepted decisions is above 0 and below 1; got "):
        check_share("risk", value)


@pytest.mark.parametrize("value", [5, [None], [5], [b"hflip"], object(), {"hflip"}])
def test_policies_to_compare_are_a_list_of_texts(value: Any) -> None:
    model: Any = SimpleNamespace(predict_losses=None, large_logits=None, policies=(), predictor_views=())
    with pytest.raises(UsageError, match=r"polic(y is a|ies are a list of) text"):
        parse_requested(value, model, hflip=True)
