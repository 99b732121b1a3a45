"""The networks of the loss predictor, and the training that teaches it which view helps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.inference.forward import logits
from allweather.trainers.methods.loss_predictor.rank_objective import flipped_columns
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.train import fit_predictor
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import PREDICTORS, build_predictor, predictor_input_spec
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SPEC = InputSpec(16, 16)
SETTINGS = PredictorSettings(fit=FitSettings(epochs=4, batch_size=32, shift=0, schedule="cosine"))


def multiply_adds(model: torch.nn.Module, side: int) -> float:
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.rand(1, 3, side, side))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("side", [32, 56])
def test_it_predicts_one_loss_for_each_view(name: str, side: int) -> None:
    model = build_predictor(name, InputSpec(side, side)).eval()
    images = torch.rand(3, 3, side, side)
    predicted = model(images)
    assert predicted.shape == (3, len(VIEWS))
    assert torch.allclose(model(images[:1]), predicted[:1], atol=1e-4)  # in eval mode images do not affect each other


def test_tiny_costs_a_tenth_of_resnet20() -> None:
    tiny, classifier = build_predictor("tiny", InputSpec(32, 32)), build_model("resnet20", 10, InputSpec(32, 32))
    assert multiply_adds(tiny, 32) <= 0.1 * multiply_adds(classifier, 32)


@pytest.mark.parametrize(("side", "expected"), [(32, 32), (64, 64), (96, 48), (224, 56)])
def test_the_input_of_a_predictor_has_at_most_64_px(side: int, expected: int) -> None:
    assert predictor_input_spec(InputSpec(side, side)).width == expected


@pytest.fixture(scope="module")
def targets() -> ViewLosses:
    """Dark images are correct in the second view, bright ones in the ninth; all other views are incorrect."""
    rng = np.random.default_rng(0)
    bright = rng.random(600) < 0.5
    images = rng.integers(0, 100, (600, 16, 16, 3)) + 150 * bright[:, None, None, None]
    best = np.where(bright, 8, 1)
    losses = 2 + 0.1 * rng.random((600, 12))
    losses[np.arange(600), best] = 0.1
    return ViewLosses(
        torch.from_numpy(images.astype(np.uint8)),
        torch.from_numpy(losses.astype(np.float32)),
        torch.from_numpy(losses < 1),
        torch.arange(600),
        torch.zeros(600, dtype=torch.int64),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", PREDICTORS)
def test_it_learns_which_view_helps(targets: ViewLosses, kind: str) -> None:
    settings = dataclasses.replace(SETTINGS, kind=kind)
    fabric = launch(precision="fp32")  # so few steps end differently on machines that take bf16 by themselves
    _, history, accuracy = fit_predictor(targets, SPEC, settings, hflip=True, fabric=fabric)
    assert history[-1].val_accuracy > 0.95
    assert accuracy == history[-1].val_accuracy  # without clean images there is no margin
    assert history[-1].val_metrics["rank_correlation"] > 0.2


@pytest.mark.slow
def test_a_flipped_image_is_trained_with_the_losses_of_the_flipped_views() -> None:
    left = torch.rand(600, generator=torch.Generator().manual_seed(3)) < 0.5
    images = torch.zeros(600, 16, 16, 3, dtype=torch.uint8)
    images[left, :, :8], images[~left, :, 8:] = 200, 200
    names = list(VIEWS)
    best = torch.where(left, names.index("rotate-20"), names.index("rotate+20"))
    losses = torch.full((600, len(VIEWS)), 2.0).scatter(1, best[:, None], 0.1)
    tilted = ViewLosses(images, losses, losses < 1, torch.arange(600), torch.zeros(600, dtype=torch.int64))
    _, _, accuracy = fit_predictor(tilted, SPEC, SETTINGS, hflip=True, fabric=launch())
    assert accuracy > 0.95


@pytest.mark.slow
def test_clean_images_keep_their_correct_predictions(targets: ViewLosses) -> None:
    """Clean images that are correct in the identity view, and in half of the other views."""
    clean, rng = torch.arange(len(targets)) % 2 == 0, torch.Generator().manual_seed(0)
    correct = targets.correct.clone()
    correct[clean] = torch.rand(int(clean.sum()), len(VIEWS), generator=rng) < 0.5
    correct[clean, 0] = True
    losses = torch.where(clean[:, None], 0.01 * torch.rand(len(targets), len(VIEWS), generator=rng), targets.losses)
    noise = torch.randint(0, 256, targets.images.shape, generator=rng)
    images = torch.where(clean[:, None, None, None], noise, targets.images)
    corruption = torch.where(clean, -1, 0)
    mixed = ViewLosses(images.to(torch.uint8), losses, correct, targets.source, corruption)
    longer = dataclasses.replace(SETTINGS, fit=dataclasses.replace(SETTINGS.fit, epochs=12))
    model, history, accuracy = fit_predictor(mixed, SPEC, longer, hflip=True, fabric=launch())
    _, val = mixed.split_fold()
    chosen = logits(model, val.images).argmin(1)
    chosen_correct = val.correct.gather(1, chosen[:, None])[:, 0]
    assert chosen_correct[val.corruption < 0].all()
    assert chosen_correct[val.corruption == 0].float().mean() > 0.95
    assert accuracy > history[-1].val_accuracy


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_weights(targets: ViewLosses, tmp_path: Path) -> None:
    expected, *_ = fit_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch())

    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.report and progress.report.epoch == 2:
            raise StoppedError

    path = tmp_path / "run.resume"
    with pytest.raises(StoppedError):
        fit_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=path, watch=stop)
    resumed, history, _ = fit_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=path)
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    for name, value in expected.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    others = dataclasses.replace(targets, losses=targets.losses + 1)
    with pytest.raises(TrainingError, match="other settings, data"):
        fit_predictor(others, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=path)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'huge'.* tiny, efficientnet"):
        PredictorSettings(kind="huge")
    for fit in (FitSettings(class_weights="balanced"), FitSettings(label_smoothing=0.1)):
        with pytest.raises(UsageError, match="learns losses and not classes"):
            PredictorSettings(fit=fit)
    with pytest.raises(UsageError, match=r"'ndcg'.* squared"):
        PredictorSettings(loss="ndcg")
    with pytest.raises(UsageError, match=r"'fog'.* noise, blur, weather, digital"):
        PredictorSettings(exclude_family="fog")
    with pytest.raises(UsageError, match="no loss predictor is called 'huge'"):
        build_predictor("huge", SPEC)
    with pytest.raises(UsageError, match="'upside-down'"):
        PredictorSettings(views=("identity", "upside-down"))
    for views in ((), ("identity",), ("identity", "zoom1.2", "zoom1.2"), ("zoom0.8", "zoom1.2")):
        with pytest.raises(UsageError, match="'identity' and at least one other, each named once"):
            PredictorSettings(views=views)


@pytest.mark.slow
def test_a_predictor_can_be_trained_for_some_views(targets: ViewLosses) -> None:
    columns = [1, 8, 0, 2]
    views = tuple(list(VIEWS)[column] for column in columns)
    some = dataclasses.replace(
        targets, losses=targets.losses[:, columns], correct=targets.correct[:, columns], views=views
    )
    model, history, accuracy = fit_predictor(some, SPEC, SETTINGS, hflip=True, fabric=launch())
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 4)
    assert history[-1].val_accuracy > 0.95
    assert accuracy == history[-1].val_accuracy


def test_losses_of_a_flipped_image() -> None:
    assert flipped_columns(("rotate+20", "identity", "rotate-20")) == (2, 1, 0)
    assert flipped_columns(("identity", "zoom1.2")) == (0, 1)
    assert flipped_columns(("identity", "rotate-20")) is None
    assert flipped_columns(("identity", "crop-top-left")) is None
    assert flipped_columns(("identity", "zoom1.2", "zoom1.2/hflip", "denoise")) == (0, 2, 1, 3)
    assert flipped_columns(("identity", "rotate+20/hflip", "rotate-20", "deblur1/hflip")) == (0, 2, 1, 3)
