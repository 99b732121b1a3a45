"""The diversity of an augmentation's draws, and the evaluation of its gain."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from allweather.trainers.augmentations.learned.networks import AugmentationMode, AugmentationNetwork
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.methods.learned_augmentation import influence_objective as module
from allweather.trainers.methods.learned_augmentation.estimators import (
    FeatureExtractor,
    MeanInfluence,
    fit_estimators,
    influence_deviation,
    influences_on_parts,
    mean_influences,
)
from allweather.trainers.methods.learned_augmentation.influence_objective import (
    MIN_DISTANCE,
    MIN_VARIANCE,
    TwoDraws,
    diversity_loss,
)
from allweather.trainers.models.activation_hooks import last_linear
from allweather.trainers.training.launch import launch


def test_equal_draws_have_the_largest_loss() -> None:
    parameters = torch.rand(64, 6, 4)
    assert float(diversity_loss(parameters, parameters)) == pytest.approx(MIN_DISTANCE + MIN_VARIANCE)


def test_two_alternating_draws_have_a_large_loss_though_their_mean_distance_is_large() -> None:
    rng = torch.Generator().manual_seed(1)
    signs = torch.sign(torch.randn(512, 6, 1, generator=rng))  # an image has one draw and its opposite
    one, other = (signs * torch.sign(torch.randn(512, 1, 1, generator=rng)) for _ in range(2))
    assert float((one - other).abs().mean()) > MIN_DISTANCE
    assert float(diversity_loss(one, other)) > MIN_DISTANCE / 3


def test_the_loss_of_a_diverged_network_is_not_a_number() -> None:
    assert diversity_loss(torch.full((8, 6, 1), torch.nan), torch.zeros(8, 6, 1)).isnan()


def test_the_gain_is_evaluated_on_images_from_the_whole_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VAL_IMAGES", 6)
    monkeypatch.setattr(module, "BATCH_SIZE", 3)
    evaluated: list[int] = []

    def recorder(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        evaluated.extend(labels.tolist())
        return images.mean((1, 2, 3))

    val = Split(torch.zeros(60, 32, 32, 3, dtype=torch.uint8), torch.arange(60) // 20)  # sorted by class
    objective = module.InfluenceObjective(recorder, "")  # type: ignore[arg-type]
    objective.accuracy(TwoDraws(AugmentationNetwork("appearance")), val, launch())
    assert set(evaluated) == {0, 1, 2}


def test_draws_on_a_line_have_too_little_variance() -> None:
    rng = torch.Generator().manual_seed(2)
    one, other = (torch.sign(torch.randn(512, 1, 1, generator=rng)).expand(512, 6, 1) for _ in range(2))
    assert float(diversity_loss(one, other)) > MIN_VARIANCE / 2


@pytest.mark.parametrize("cells", [1, 16])
def test_independent_draws_have_a_loss_near_zero(cells: int) -> None:
    rng = torch.Generator().manual_seed(3)
    one, other = (2 * torch.rand(512, 18, cells, generator=rng) - 1 for _ in range(2))
    assert float(diversity_loss(one, other)) < 0.05


@pytest.mark.parametrize(("mode", "grid"), [("parallel", 1), ("parallel", 8), ("serial", 4)])
def test_the_diversity_loss_has_gradients(mode: AugmentationMode, grid: int) -> None:
    model, rng = TwoDraws(AugmentationNetwork(mode, grid)), torch.Generator().manual_seed(4)
    augmented, diversity = model(torch.rand(16, 3, 32, 32, generator=rng), rng)
    diversity.backward()
    assert augmented.shape == (16, 3, 32, 32)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.slow
def test_the_estimator_is_that_of_the_last_layer(checkpoint: Checkpoint, dataset: Dataset) -> None:
    extractor = FeatureExtractor(checkpoint.classifier())
    (estimator,) = fit_estimators(extractor, dataset.train, dataset.val, [torch.arange(len(dataset.val))], 0.01)
    assert estimator.weight.shape == (3, last_linear(extractor.classifier).in_features + 1)
    features = extractor(to_float(dataset.val.images))
    torch.testing.assert_close(
        extractor.classifier(to_float(dataset.val.images)),
        extractor.classifier.network.linear(features),  # type: ignore[union-attr, operator]
    )
    images = to_float(dataset.train.images[:4]).requires_grad_()
    estimator.influence(images, dataset.train.labels[:4]).sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0
    assert influence_deviation(estimator, dataset.train) > 0


@pytest.mark.slow
def test_a_class_may_have_held_out_images_only(checkpoint: Checkpoint, dataset: Dataset) -> None:
    train_split = dataset.train.take((dataset.train.labels < 2).nonzero()[:, 0])  # as if a class had few images
    extractor, every = FeatureExtractor(checkpoint.classifier()), torch.arange(len(dataset.val))
    (estimator,) = fit_estimators(extractor, train_split, dataset.val, [every], 0.01)
    assert len(estimator.weight) == len(dataset.classes) == 3
    assert estimator.inverse.isfinite().all()


@pytest.mark.slow
def test_the_influence_on_all_images_is_the_mean_over_their_halves(checkpoint: Checkpoint, dataset: Dataset) -> None:
    extractor, count = FeatureExtractor(checkpoint.classifier()), len(dataset.val)
    parts = (torch.arange(count), torch.arange(0, count, 2), torch.arange(1, count, 2))
    whole, *halves = fit_estimators(extractor, dataset.train, dataset.val, parts, 0.01)
    mean = (halves[0].inverse + halves[1].inverse) / 2
    torch.testing.assert_close(whole.inverse, mean, atol=1e-4 * float(mean.abs().max()), rtol=1e-4)
    assert torch.equal(whole.weight, halves[0].weight)


@pytest.mark.slow
def test_each_classifier_counts_as_much_as_the_others(checkpoint: Checkpoint, dataset: Dataset) -> None:
    extractor, every = FeatureExtractor(checkpoint.classifier()), torch.arange(len(dataset.val))
    images, labels = to_float(dataset.train.images[:4]), dataset.train.labels[:4]
    (once,) = mean_influences([extractor], dataset.train, dataset.val, [every], 0.01)
    (twice,) = mean_influences([extractor, extractor], dataset.train, dataset.val, [every], 0.01)
    torch.testing.assert_close(twice(images, labels), once(images, labels))
    both = influences_on_parts([once, once], images, labels)
    assert torch.equal(both[0], both[1])
    torch.testing.assert_close(both[0], once.estimators[0].influence(images, labels) / once.scales[0])
    (estimator,), (scale,) = once.estimators, once.scales
    larger = dataclasses.replace(estimator, inverse=100 * estimator.inverse)
    mixed = MeanInfluence((estimator, larger), (scale, influence_deviation(larger, dataset.train)))
    torch.testing.assert_close(mixed(images, labels), once(images, labels), rtol=1e-4, atol=1e-5)
