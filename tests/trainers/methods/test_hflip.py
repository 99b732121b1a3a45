"""Data whose classes change when they are flipped is flipped by no method, from the training to the loss predictor."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from allweather.runtimes.tta.policy_names import is_found_by_tuning, parse_policy
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.class_names import warn_of_flips
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import gamma_search
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
from allweather.trainers.methods.train import train
from allweather.trainers.policies.tuning import candidate_views, default_policies
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

FIT = FitSettings(epochs=1, batch_size=12, hflip=False)


@pytest.fixture(scope="module")
def few(dataset: Dataset) -> Dataset:
    """A few images of a folder, which may be flipped as far as anyone has said."""
    assert dataset.hflip
    val = dataset.val.take(torch.arange(0, 24, 4))
    return dataclasses.replace(dataset.subset(0.3, 0), val=val, test=val)


@pytest.fixture(scope="module")
def arrows(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A classifier that was trained without flips."""
    path = tmp_path_factory.mktemp("arrows") / "plain.safetensors"
    train(["resnet8"], few, FIT, path, fabric=launch())
    trained = load_checkpoint(path)
    strengths = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
    return dataclasses.replace(trained, strengths=strengths)


@pytest.fixture
def flipped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Collects whether images of each epoch were flipped, and whether a loss predictor's were."""
    seen: list[bool] = []
    fit_loop = importlib.import_module("allweather.trainers.training.fit")  # the package has a function of that name
    predictor_training = importlib.import_module("allweather.trainers.methods.loss_predictor.train")
    plan, objective = fit_loop.plan_epoch, predictor_training.RankObjective

    def watched(*arguments: Any, **named: Any) -> Any:
        planned = plan(*arguments, **named)
        seen.append(bool(planned.hflip.any()))
        return planned

    def watched_objective(*arguments: Any) -> Any:
        seen.append(arguments[3])
        return objective(*arguments)

    monkeypatch.setattr(fit_loop, "plan_epoch", watched)
    monkeypatch.setattr(predictor_training, "RankObjective", watched_objective)
    return seen


@pytest.mark.slow
def test_the_checkpoint_keeps_whether_its_data_may_be_flipped(arrows: Checkpoint, few: Dataset) -> None:
    assert arrows.hflip is False
    assert not arrows.adapt(few).hflip
    imported = dataclasses.replace(arrows, settings={})
    assert imported.hflip is None
    assert imported.adapt(few).hflip


@pytest.mark.parametrize("method", ["at", "fma", "ait"])
@pytest.mark.slow
def test_finetuning_does_not_flip(
    arrows: Checkpoint, few: Dataset, tmp_path: Path, flipped: list[bool], method: Any
) -> None:
    settings = FinetuneSettings(method, fit=dataclasses.replace(FIT, hflip=None))
    robust = finetune(arrows, few, settings, tmp_path / "robust.safetensors", fabric=launch())
    assert flipped == [False]
    assert robust.hflip is False


@pytest.mark.slow
def test_neither_the_search_for_gamma_nor_a_loss_predictor_flips(
    arrows: Checkpoint, few: Dataset, tmp_path: Path, flipped: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.3,))
    fit = dataclasses.replace(FIT, hflip=None)
    gamma_search.search_gamma(arrows, few, FinetuneSettings("st", fit=fit), tmp_path / "a.safetensors", fabric=launch())
    settings = PredictorSettings(views=("identity", "zoom1.2"), copy_settings=CopySettings(copies=1), fit=fit)
    seeing = add_predictor(
        arrows, few, settings, tmp_path / "b.safetensors", losses_folder=tmp_path / "losses", fabric=launch()
    )
    assert len(flipped) >= 3
    assert not any(flipped)
    assert seeing.hflip is False
    assert seeing.predictor
    assert seeing.predictor.settings["hflip"] is False


@pytest.mark.slow
def test_an_imported_classifier_is_told(arrows: Checkpoint, few: Dataset, tmp_path: Path, flipped: list[bool]) -> None:
    imported = dataclasses.replace(arrows, settings={})
    robust = finetune(imported, few, FinetuneSettings("at", fit=FIT), tmp_path / "r.safetensors", fabric=launch())
    assert flipped == [False]
    assert robust.hflip is False


ARROWS = ("Turn LEFT", "straight", "turn right")


@pytest.mark.parametrize(
    ("classes", "hflip", "told"),
    [(ARROWS, True, True), (ARROWS, False, False), (("cleft", "right"), True, False), (("left", "leaf"), True, False)],
)
def test_classes_that_differ_by_left_and_right_are_told_where_images_are_flipped(
    classes: tuple[str, ...], hflip: bool, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_flips(classes, hflip)
    assert ("Turn LEFT and turn right seem to be flipped images of each other" in caplog.text) == told
    assert bool(caplog.records) == told


@pytest.mark.slow
def test_each_training_with_flips_tells_so_of_left_and_right(
    arrows: Checkpoint, few: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = dataclasses.replace(few, classes=ARROWS)
    fit = dataclasses.replace(FIT, hflip=True)
    train(["resnet8"], named, fit, tmp_path / "a.safetensors", fabric=launch())
    start = dataclasses.replace(arrows, classes=ARROWS)
    finetune(start, named, FinetuneSettings("at", fit=fit), tmp_path / "b.safetensors", fabric=launch())
    settings = PredictorSettings(views=("identity", "zoom1.2"), copy_settings=CopySettings(copies=1), fit=fit)
    add_predictor(start, named, settings, tmp_path / "c.safetensors", losses_folder=tmp_path / "d", fabric=launch())
    assert caplog.text.count("--no-hflip") == 3


@pytest.mark.parametrize("method", ["plain", "ait"])
@pytest.mark.slow
def test_training_does_not_flip(few: Dataset, tmp_path: Path, flipped: list[bool], method: Any) -> None:
    train(["resnet8"], few, FIT, tmp_path / "a.safetensors", fabric=launch(), config=TrainConfig(method))
    assert flipped == [False]
    unless_told = dataclasses.replace(FIT, hflip=None)
    (trained,) = train(["resnet8"], few, unless_told, tmp_path / "b.safetensors", fabric=launch())
    assert flipped == [False, True]
    assert trained.hflip is True


@pytest.mark.slow
def test_learning_an_augmentation_does_not_flip(few: Dataset, tmp_path: Path, flipped: list[bool]) -> None:
    settings = LearnAugmentationSettings(epochs=1, gan_epochs=1, classifier=FIT)
    learned = learn_augmentation("resnet8", few, settings, tmp_path / "a.safetensors", fabric=launch())
    assert flipped == [False, False, False]
    assert learned.settings["hflip"] is False


def test_no_policy_that_tuning_compares_flips() -> None:
    names = default_policies(True, hflip=False)
    assert {"center", "5crop", "top:1", "gps:4", "learned"} < set(names)
    fixed = [parse_policy(name) for name in names if not is_found_by_tuning(name)]
    assert not any(policy.hflip or any("hflip" in view for view in policy.views) for policy in fixed)
    assert "hflip" not in candidate_views(hflip=False)
    assert set(names) < set(default_policies(True))
