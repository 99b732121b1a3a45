"""The influence functions, against exact algebra and against real retraining."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from allweather.runtimes.errors import TrainingError
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.learned_augmentation.influence import (
    conjugate_gradients,
    hessian_product,
    influence,
    mean_gradient,
    mean_loss,
    refit,
    stochastic_inverse,
    with_one,
)

DAMPING = 0.01
CLASSES, TRAIN, VAL = 4, 240, 160


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Signs of four classes as 4 x 4 gray pixels: features and labels of both splits, and the minimum."""
    signs = open_dataset("signs", None).train
    known = signs.take((signs.labels < CLASSES).nonzero()[: TRAIN + VAL, 0])
    pixels = known.images.double().mean(3).reshape(-1, 4, 8, 4, 8).mean((2, 4)).flatten(1) / 64
    features = with_one(pixels - pixels.mean(0))
    labels = known.labels
    start = torch.zeros(CLASSES, features.shape[1], dtype=torch.float64)
    weight = refit(start, features[:TRAIN], labels[:TRAIN], DAMPING)
    return features[:TRAIN], labels[:TRAIN], features[TRAIN:], labels[TRAIN:], weight


def inverse_of(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    train, _, val, val_labels, weight = problem
    return conjugate_gradients(hessian_product(weight, train, DAMPING), mean_gradient(weight, val, val_labels))


def test_closed_forms_are_the_derivatives(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, _, _, weight = problem
    weight = weight.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_loss(weight, train, labels, DAMPING), weight)
    torch.testing.assert_close(mean_gradient(weight.detach(), train, labels, DAMPING), gradient)
    full = hessian(lambda w: mean_loss(w, train, labels, DAMPING), weight.detach())
    vector = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(
        hessian_product(weight.detach(), train, DAMPING)(vector), torch.einsum("abcd,cd->ab", full, vector)
    )


def test_the_minimum_is_one(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, _, _, weight = problem
    assert float(mean_gradient(weight, train, labels, DAMPING).norm()) <= 1e-8
    elsewhere = refit(torch.ones_like(weight), train, labels, DAMPING)
    torch.testing.assert_close(elsewhere, weight, atol=1e-6, rtol=0)


def test_both_solvers_find_the_exact_inverse(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    target = mean_gradient(weight, val, val_labels)
    full = hessian(lambda w: mean_loss(w, train, labels, DAMPING), weight).reshape(weight.numel(), -1)
    exact = torch.linalg.solve(full, target.flatten()).reshape(weight.shape)
    found = inverse_of(problem)
    assert float((found - exact).norm() / exact.norm()) < 1e-4
    rng = torch.Generator().manual_seed(2)
    estimate = stochastic_inverse(weight, train, DAMPING, target, rng, steps=12000, batch=60, repeats=1)
    assert float((estimate - exact).norm() / exact.norm()) < 0.05
    alike = torch.corrcoef(torch.stack([estimate.flatten(), found.flatten()]))[0, 1]
    assert float(alike) > 0.99


def test_influence_predicts_leaving_one_out(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    here = float(mean_loss(weight, val, val_labels))
    predicted = -influence(inverse_of(problem), weight, train, labels) / TRAIN
    some = predicted.abs().argsort(descending=True)[:: TRAIN // 30]
    real = []
    for number in some.tolist():
        # without it, and the others still weigh 1 / N each: the batch is one shorter, so the mean is scaled back
        rest = torch.arange(TRAIN) != number
        damping = DAMPING * TRAIN / (TRAIN - 1)
        left = refit(weight, train[rest], labels[rest], damping)
        real.append(float(mean_loss(left, val, val_labels)) - here)
    assert np.corrcoef(predicted[some], real)[0, 1] >= 0.9
    assert np.polyfit(predicted[some].numpy(), real, 1)[0] == pytest.approx(1, abs=0.3)


def test_influence_predicts_replacing_one(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    here, inverse = float(mean_loss(weight, val, val_labels)), inverse_of(problem)
    noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    other = with_one((train + 0.5 * noise)[:, :-1])
    change = influence(inverse, weight, other, labels) - influence(inverse, weight, train, labels)
    predicted, real, some = change / TRAIN, [], range(0, TRAIN, 8)
    for number in some:
        replaced = train.clone()
        replaced[number] = other[number]
        made = refit(weight, replaced, labels, DAMPING)
        real.append(float(mean_loss(made, val, val_labels)) - here)
    assert np.corrcoef(predicted[:: some.step], real)[0, 1] >= 0.9


def test_what_cannot_be_solved_says_so(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, _, _, _, weight = problem
    with pytest.raises(TrainingError, match="a larger damping helps, and a classifier"):
        conjugate_gradients(hessian_product(weight, train, 1e-9), torch.ones_like(weight), tolerance=1e-12, limit=3)
