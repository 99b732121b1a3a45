"""A loss predictor alone: it learns from a table which view is the best one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.trainers.losses.soft_ranks import correlation, ranks
from allweather.trainers.methods.loss_predictor.from_losses import fit_loss_predictor
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.models.loss_predictor import LossPredictor
from allweather.trainers.training.settings import FitSettings

VIEWS = ("identity", "color2", "zoom1.2")


def table(count: int) -> tuple[Tensor, Tensor]:
    """Images whose mean red, green and blue are the losses of three views."""
    rng = torch.Generator().manual_seed(0)
    means = torch.rand(count, 3, generator=rng)
    noise = torch.rand(count, 3, 16, 16, generator=rng) - 0.5
    return (means[..., None, None] + 0.2 * noise).clamp(0, 1), 3 * means


def settings(epochs: int) -> PredictorSettings:
    return PredictorSettings(fit=FitSettings(epochs=epochs, batch_size=20, shift=0, ema=0.9))


@pytest.mark.slow
def test_it_ranks_the_views_of_new_images() -> None:
    images, losses = table(500)
    predictor = fit_loss_predictor(images[:400], losses[:400], views=VIEWS, settings=settings(6))
    assert isinstance(predictor, LossPredictor)
    assert not predictor.training
    with torch.no_grad():
        predicted = predictor(images[400:])
    assert float(correlation(ranks(predicted), ranks(losses[400:])).mean()) > 0.8


def test_large_images_of_any_type_are_reduced() -> None:
    images, losses = table(12)
    large = torch.nn.functional.interpolate(images, (70, 80)).mul(255).byte()
    reports: list[float] = []
    state = torch.get_rng_state()
    predictor = fit_loss_predictor(
        large, losses.double(), views=VIEWS, settings=settings(1), watch=lambda progress: reports.append(progress.step)
    )
    assert reports
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers change"
    assert predictor(torch.rand(2, 3, 35, 40)).shape == (2, 3)


IMAGES, LOSSES = table(12)


@pytest.mark.parametrize(
    ("images", "losses", "views", "kind", "message"),
    [
        (IMAGES, LOSSES[:, :2], VIEWS, DataError, r"float \[12, 3\]: a row for each image.*got float32 \[12, 2\]"),
        (IMAGES, LOSSES.numpy(), VIEWS, DataError, "got ndarray"),
        (IMAGES, LOSSES.log() * float("inf"), VIEWS, DataError, "losses are finite numbers"),
        (IMAGES[:5], LOSSES[:5], VIEWS, DataError, "at least 10 images; got 5"),
        (5 * IMAGES, LOSSES, VIEWS, DataError, "divide by 255"),
        (IMAGES, LOSSES, ("hflip", "color2", "zoom1.2"), UsageError, "'identity' and at least one other"),
        (IMAGES, LOSSES, ("identity", "color2", "zoom9"), UsageError, "zoom"),
    ],
)
def test_tables_that_cannot_be_learned(
    images: Tensor, losses: Any, views: tuple[str, ...], kind: type[AllweatherError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        fit_loss_predictor(images, losses, views=views)
    assert "\n" not in str(caught.value)
