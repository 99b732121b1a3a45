"""The loss of robust finetuning, and the augmented copies that it compares."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.pairing import (
    CombinedAugmentation,
    IndividualAugmentation,
    MixedAugmentation,
    TorchvisionAugmentation,
)
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.losses.consistency import feature_map_loss, kl_divergence, stability_loss
from allweather.trainers.methods.finetune import FinetuneSettings, build_objective
from allweather.trainers.methods.pair_objective import LossWeights, PairObjective
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
FIT = FitSettings(epochs=2, batch_size=24, schedule="cosine", seed=3)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


class ForeignNetwork(nn.Module):
    """A network from outside: no Classifier, ReLUs called as functions, a residual connection, BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(x))
        x = torch.relu(self.norm(self.two(x)) + x)
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def test_losses_are_those_of_the_paper() -> None:
    """Written out with two forward passes in eval mode, where BatchNorm does not tie the two halves together."""
    torch.manual_seed(0)
    model, x, labels = ForeignNetwork().eval(), torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    augmented = CombinedAugmentation(PAPER)(x, 0, rng())
    clean, other = model(x), model(augmented)
    maps = []
    for images in (x, augmented):
        first = functional.relu(model.one(images))
        maps.append([first, torch.relu(model.norm(model.two(first)) + first)])
    pairs = [torch.cat(pair) for pair in zip(*maps, strict=True)]
    plain = functional.cross_entropy(clean, labels)
    expected = {
        LossWeights(augmented_labels=1.0): plain + functional.cross_entropy(other, labels),
        LossWeights(stability=0.7): plain + 0.7 * stability_loss(clean, other),
        LossWeights(feature_maps=0.3): plain + 0.3 * feature_map_loss(pairs),
        LossWeights(augmented_labels=1.0, ai=0.7): plain
        + functional.cross_entropy(other, labels)
        + 0.7 * (kl_divergence(clean, other) + kl_divergence(other, clean)),
    }
    for loss_weights, value in expected.items():
        loss = PairObjective(loss_weights, CombinedAugmentation(PAPER)).loss(model, x, labels, 0, rng())
        assert torch.allclose(loss, value, rtol=1e-5), loss_weights
        weighted = PairObjective(loss_weights, CombinedAugmentation(PAPER), class_weights=(2.0, 2.0, 2.0))
        labeled = plain + loss_weights.augmented_labels * functional.cross_entropy(other, labels)
        assert torch.allclose(weighted.loss(model, x, labels, 0, rng()), value + labeled, rtol=1e-5), loss_weights
        smoothed = PairObjective(loss_weights, CombinedAugmentation(PAPER), label_smoothing=0.1)
        smoother = partial(functional.cross_entropy, target=labels, label_smoothing=0.1)
        changed = smoother(clean) + loss_weights.augmented_labels * smoother(other)
        assert torch.allclose(smoothed.loss(model, x, labels, 0, rng()), value - labeled + changed, rtol=1e-5)


def test_the_label_smoothing_of_the_settings_is_that_of_the_finetuning(dataset: Dataset) -> None:
    settings = FinetuneSettings("at", augment="trivial", fit=FitSettings(label_smoothing=0.1))
    start = Checkpoint("resnet20", dataset.classes, dataset.input, {}, "x", 0)
    assert build_objective(start, settings, dataset).label_smoothing == 0.1


@pytest.mark.slow
def test_a_foreign_network_is_finetuned_with_feature_maps(dataset: Dataset) -> None:
    torch.manual_seed(0)
    objective = PairObjective(LossWeights(feature_maps=1.0), CombinedAugmentation(PAPER), PAPER)
    _, history = fit(ForeignNetwork(), dataset, FIT, 0.02, fabric=launch(), objective=objective)
    assert history[-1].loss < history[0].loss
    assert list(history[-1].val_metrics) == list(TABLE_ROWS)


def test_a_network_without_activations_is_refused(dataset: Dataset) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    objective = PairObjective(LossWeights(feature_maps=1.0), CombinedAugmentation(PAPER))
    with pytest.raises(UsageError, match="at least one activation function"):
        fit(linear, dataset, FIT, 0.01, fabric=launch(), objective=objective)


def test_the_named_layers_are_compared() -> None:
    torch.manual_seed(0)
    model, x, labels = ForeignNetwork().eval(), torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    pair = torch.cat([x, CombinedAugmentation(PAPER)(x, 0, rng())])
    expected = functional.cross_entropy(model(x), labels) + feature_map_loss([model.one(pair)])
    objective = PairObjective(LossWeights(feature_maps=1.0), CombinedAugmentation(PAPER), layers=("one",))
    assert torch.allclose(objective.loss(model, x, labels, 0, rng()), expected, rtol=1e-5)
    assert objective.resume_key["layers"] == ["one"]


def test_combinations_alternate_every_epoch() -> None:
    gray = torch.full((2, 3, 8, 8), 0.5)
    parameters = {**PAPER, "gaussian_noise": 0.0, "salt_and_pepper": 0.0}
    means = [float(CombinedAugmentation(parameters)(gray, epoch, rng()).mean()) for epoch in range(4)]
    assert means == pytest.approx([0.89, 0.14, 0.89, 0.14], abs=1e-4)


def test_the_individual_strategy_applies_one_augmentation_to_each_image() -> None:
    images = 0.25 + 0.5 * torch.rand(64, 3, 8, 8, generator=rng())
    alone = {
        name: augmentation(images, augmentation.paper, rng())
        for name, augmentation in AUGMENTATIONS.items()
        if augmentation.draw is None
    }
    mixed = IndividualAugmentation(PAPER)(images, 0, rng())
    deterministic = [
        any(torch.allclose(image, each[index], atol=1e-5) for each in alone.values())
        for index, image in enumerate(mixed)
    ]
    assert 20 < sum(deterministic) < 64  # the others are noisy
    only = IndividualAugmentation(PAPER, "saturation-")(images, 0, rng())
    assert torch.allclose(only, alone["saturation-"])


def test_mixtures_differ_between_images_and_stay_below_the_strengths() -> None:
    gray = torch.full((500, 3, 8, 8), 0.5)
    parameters = {**PAPER, "gaussian_noise": 0.0, "salt_and_pepper": 0.0}
    means = MixedAugmentation(parameters, dark=0.0)(gray, 0, rng()).mean((1, 2, 3))
    assert float(means.min()) >= 0.14 - 1e-5
    assert float(means.max()) <= 0.89 + 1e-5
    assert 0.12 < float((means == 0.5).float().mean()) < 0.28
    assert float((means - 0.5).abs().median()) > 0.2  # mostly strong ones
    assert len(means.unique()) > 300


def test_mixtures_darken_some_images_whatever_the_strengths() -> None:
    neutral = {name: augmentation.neutral for name, augmentation in AUGMENTATIONS.items()}
    images = torch.rand(2000, 3, 8, 8, generator=rng())
    light = MixedAugmentation(neutral)(images, 0, rng()).sum((1, 2, 3)) / images.sum((1, 2, 3))
    darkened = light[light < 0.999]
    assert 0.25 < len(darkened) / 2000 < 0.35
    assert float(darkened.min()) >= 0.1 - 1e-4
    assert 0.28 < float(darkened.median()) < 0.36  # of a uniform logarithm, the square root of 0.1


@pytest.mark.parametrize("name", ["randaugment", "trivial"])
def test_augmentations_of_torchvision(name: str) -> None:
    images = torch.rand(20, 3, 32, 32, generator=rng())
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(TorchvisionAugmentation(name)(images, 0, rng()))  # type: ignore[arg-type]
    assert torch.equal(results[0], results[1])
    assert results[0].shape == images.shape
    assert float(results[0].min()) >= 0
    assert float(results[0].max()) <= 1
    assert not torch.allclose(results[0], images, atol=0.01)
