"""The loss predictor: its networks, and that it learns which view helps."""

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
from allweather.trainers.methods.loss_predictor.train import PredictorSettings, train_predictor
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import PREDICTORS, build_predictor, predictor_input_spec
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.inference import logits
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
def test_a_prediction_for_each_view(name: str, side: int) -> None:
    model = build_predictor(name, InputSpec(side, side)).eval()
    pictures = torch.rand(3, 3, side, side)
    predicted = model(pictures)
    assert predicted.shape == (3, len(VIEWS))
    assert torch.allclose(model(pictures[:1]), predicted[:1], atol=1e-4)  # in eval mode pictures do not mix


def test_tiny_costs_a_tenth_of_resnet20() -> None:
    tiny, classifier = build_predictor("tiny", InputSpec(32, 32)), build_model("resnet20", 10, InputSpec(32, 32))
    assert multiply_adds(tiny, 32) <= 0.1 * multiply_adds(classifier, 32)


@pytest.mark.parametrize(("side", "seen"), [(32, 32), (64, 64), (96, 48), (224, 56)])
def test_a_predictor_sees_64_px_at_most(side: int, seen: int) -> None:
    assert predictor_input_spec(InputSpec(side, side)).width == seen


@pytest.fixture(scope="module")
def targets() -> ViewLosses:
    """Dark pictures do well in the second view, bright ones in the ninth; the classifier is wrong elsewhere."""
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


@pytest.mark.parametrize("kind", PREDICTORS)
def test_it_learns_which_view_helps(targets: ViewLosses, kind: str) -> None:
    settings = dataclasses.replace(SETTINGS, kind=kind)
    _, history, accuracy = train_predictor(targets, SPEC, settings, hflip=True, fabric=launch())
    assert history[-1].val_accuracy > 0.95
    assert accuracy == history[-1].val_accuracy  # nothing is clean, so nothing is held back
    assert history[-1].others["rank_correlation"] > 0.2


def test_a_mirrored_picture_wants_the_mirrored_view() -> None:
    left = torch.rand(600, generator=torch.Generator().manual_seed(3)) < 0.5
    images = torch.zeros(600, 16, 16, 3, dtype=torch.uint8)
    images[left, :, :8], images[~left, :, 8:] = 200, 200
    names = list(VIEWS)
    best = torch.where(left, names.index("rotate-20"), names.index("rotate+20"))
    losses = torch.full((600, len(VIEWS)), 2.0).scatter(1, best[:, None], 0.1)
    tilted = ViewLosses(images, losses, losses < 1, torch.arange(600), torch.zeros(600, dtype=torch.int64))
    _, _, accuracy = train_predictor(tilted, SPEC, SETTINGS, hflip=True, fabric=launch())
    assert accuracy > 0.95


def test_clean_pictures_are_left_alone(targets: ViewLosses) -> None:
    """Those that the classifier gets right as they are, and half of the time wrong where it looks otherwise."""
    clean, rng = torch.arange(len(targets)) % 2 == 0, torch.Generator().manual_seed(0)
    right = targets.right.clone()
    right[clean] = torch.rand(int(clean.sum()), len(VIEWS), generator=rng) < 0.5
    right[clean, 0] = True
    losses = torch.where(clean[:, None], 0.01 * torch.rand(len(targets), len(VIEWS), generator=rng), targets.losses)
    noise = torch.randint(0, 256, targets.images.shape, generator=rng)
    images = torch.where(clean[:, None, None, None], noise, targets.images)
    kind = torch.where(clean, -1, 0)
    mixed = ViewLosses(images.to(torch.uint8), losses, right, targets.source, kind)
    longer = dataclasses.replace(SETTINGS, fit=dataclasses.replace(SETTINGS.fit, epochs=12))
    model, history, accuracy = train_predictor(mixed, SPEC, longer, hflip=True, fabric=launch())
    _, val = mixed.fold()
    picked = logits(model, val.images).argmin(1)
    chosen_right = val.right.gather(1, picked[:, None])[:, 0]
    assert chosen_right[val.kind < 0].all()
    assert chosen_right[val.kind == 0].float().mean() > 0.95
    assert accuracy > history[-1].val_accuracy


def test_a_killed_training_ends_with_the_same_weights(targets: ViewLosses, tmp_path: Path) -> None:
    whole, *_ = train_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch())

    class StoppedError(Exception):
        pass

    def stop(now: Progress) -> None:
        if now.report and now.report.epoch == 2:
            raise StoppedError

    place = tmp_path / "run.resume"
    with pytest.raises(StoppedError):
        train_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=place, watch=stop)
    cut, history, _ = train_predictor(targets, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=place)
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, cut.state_dict()[name]), name
    others = dataclasses.replace(targets, losses=targets.losses + 1)
    with pytest.raises(TrainingError, match="other settings, data"):
        train_predictor(others, SPEC, SETTINGS, hflip=True, fabric=launch(), resume=place)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="'huge' is none of tiny, efficientnet"):
        PredictorSettings(kind="huge")
    with pytest.raises(UsageError, match="'ndcg' is none of squared"):
        PredictorSettings(loss="ndcg")
    with pytest.raises(UsageError, match="noise, blur, weather, digital; got 'fog'"):
        PredictorSettings(exclude_family="fog")
    with pytest.raises(UsageError, match="unknown predictor 'huge'"):
        build_predictor("huge", SPEC)
