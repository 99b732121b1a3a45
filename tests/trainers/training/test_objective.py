from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.objective import class_weights_of, cross_entropy
from allweather.trainers.training.settings import FitSettings

BALANCED = FitSettings(class_weights="balanced")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}", 32)


@pytest.fixture(scope="module")
def skewed(dataset: Dataset) -> Dataset:
    """Data of which the third class is rare: 3 images beside 40 of each other class."""
    labels = dataset.train.labels
    return dataclasses.replace(
        dataset,
        train=dataset.train.take(torch.cat([torch.nonzero(labels < 2)[:, 0], torch.nonzero(labels == 2)[:3, 0]])),
    )


def test_balanced_weights_are_inverse_frequencies_with_a_mean_of_one(skewed: Dataset) -> None:
    labels = skewed.train.labels
    weights = class_weights_of(BALANCED, skewed)
    expected = compute_class_weight("balanced", classes=labels.unique().numpy(), y=labels.numpy())
    assert weights == pytest.approx(expected.tolist())
    assert float(torch.tensor(weights)[labels].mean()) == pytest.approx(1)
    assert class_weights_of(FitSettings(), skewed) == ()


def test_a_class_without_training_images_has_no_weight(dataset: Dataset) -> None:
    two = dataclasses.replace(dataset, train=dataset.train.take(torch.nonzero(dataset.train.labels != 1)[:, 0]))
    assert class_weights_of(BALANCED, two) == (1.0, 0.0, 1.0)


def test_the_weighted_loss_of_a_batch_is_the_mean_of_those_of_its_parts() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(12, 3, generator=rng), torch.randint(3, (12,), generator=rng)
    weights = (0.5, 1.0, 4.0)
    whole = cross_entropy(logits, labels, 0.1, weights)
    parts = [cross_entropy(logits[each::2], labels[each::2], 0.1, weights) for each in (0, 1)]
    torch.testing.assert_close(whole, torch.stack(parts).mean())
    alone = functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(whole, (torch.tensor(weights)[labels] * alone).mean())
    assert torch.equal(
        cross_entropy(logits, labels, 0.1), functional.cross_entropy(logits, labels, label_smoothing=0.1)
    )


@pytest.mark.parametrize("balance", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
@pytest.mark.slow
def test_a_balanced_training_finds_the_rare_class(skewed: Dataset, balance: dict[str, str]) -> None:
    """The network has a bias alone, so that its probabilities are the shares of the classes that it was shown."""

    class BiasAlone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(x), 3)

    def shares(settings: FitSettings) -> torch.Tensor:
        model, _ = fit(Classifier(BiasAlone(), InputSpec(32, 32)), skewed, settings, 0.3, fabric=launch())
        return next(model.parameters()).detach().softmax(0)

    settings = FitSettings(epochs=20, batch_size=83)
    counts = skewed.train.labels.bincount()
    torch.testing.assert_close(shares(settings), counts / counts.sum(), atol=0.02, rtol=0)
    balanced = dataclasses.replace(settings, **balance)  # type: ignore[arg-type]
    torch.testing.assert_close(shares(balanced), torch.full((3,), 1 / 3), atol=0.02, rtol=0)
