"""What is said about a trained predictor: whether it is better than chance, and on how many images that was seen."""

from __future__ import annotations

import pytest
import torch

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.methods.loss_predictor.quality import predictor_quality, quality_sentences
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import build_predictor

SPEC = InputSpec(32, 32)


def judged(count: int, noise: float) -> tuple[dict[str, float], str]:
    """Quality of an untrained predictor on losses that are its own predictions, and noise of some strength."""
    torch.manual_seed(0)
    model = build_predictor("tiny", SPEC, len(VIEWS)).eval()
    images = torch.randint(0, 256, (2 * count, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        predicted = model(images.permute(0, 3, 1, 2) / 255)
    losses = predicted / predicted.std(1, keepdim=True) * (noise < 1) + noise * torch.randn(2 * count, len(VIEWS))
    best = losses <= losses.median(1, keepdim=True).values
    table = ViewLosses(images, losses, best, torch.arange(count).repeat(2), torch.arange(2 * count) % 16 - 1)
    metrics = predictor_quality(model, table)
    return metrics, "; ".join(quality_sentences(metrics))


def test_a_predictor_no_better_than_chance_is_told() -> None:
    metrics, text = judged(100, noise=1.0)
    assert metrics["rank_correlation_low"] < 0 < metrics["rank_correlation_high"]
    assert "judged on 100 images that it was not trained on: rank correlation" in text
    assert "it ranks the views no better than chance" in text
    assert "a cost of up to" in text  # of 200 copies a sixteenth are clean


def test_a_good_predictor_is_not_blamed() -> None:
    metrics, text = judged(100, noise=0.1)
    assert 0.5 < metrics["rank_correlation_low"] < metrics["rank_correlation"] < metrics["rank_correlation_high"]
    assert metrics["gain_low"] <= metrics["gain"] <= metrics["gain_high"]
    assert metrics["gain"] == pytest.approx(1 - metrics["identity_accuracy"], abs=0.02)
    assert "chance" not in text


def test_a_few_images_decide_nothing() -> None:
    assert "15 images, a share of the training images that was held back, decide nothing" in judged(15, noise=0.1)[1]
    assert quality_sentences({"rank_correlation": 0.5, "val_accuracy": 0.8}) == []  # of an older version
