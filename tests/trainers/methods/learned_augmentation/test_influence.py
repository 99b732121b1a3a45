"""The influence functions, compared with exact algebra and with real retraining."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from allweather.runtimes.errors import TrainingError
from allweather.trainers.data.signs import CLASSES as SIGNS
from allweather.trainers.data.signs import render_signs
from allweather.trainers.methods.learned_augmentation.influence import (
    append_one,
    conjugate_gradients,
    fit_last_layer,
    hessian_product,
    loss_influence,
    mean_gradient,
    mean_loss,
    stochastic_inverse,
)

pytestmark = pytest.mark.slow  # the fixture renders many traffic signs

DAMPING = 0.01
CLASSES, TRAIN, VAL = 4, 240, 160


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Traffic signs of four classes as 4 x 4 gray pixels: features and labels of both splits, and the fitted weight."""
    images, labels = map(torch.from_numpy, render_signs("train", count=(TRAIN + VAL) // CLASSES * len(SIGNS)))
    images, labels = images[labels < CLASSES], labels[labels < CLASSES]
    pixels = images.double().mean(3).reshape(-1, 4, 8, 4, 8).mean((2, 4)).flatten(1) / 64
    features = append_one(pixels - pixels.mean(0))
    start = torch.zeros(CLASSES, features.shape[1], dtype=torch.float64)
    weight = fit_last_layer(start, features[:TRAIN], labels[:TRAIN], DAMPING)
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


def test_the_fit_reaches_the_minimum(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, _, _, weight = problem
    assert float(mean_gradient(weight, train, labels, DAMPING).norm()) <= 1e-8
    elsewhere = fit_last_layer(torch.ones_like(weight), train, labels, DAMPING)
    torch.testing.assert_close(elsewhere, weight, atol=1e-6, rtol=0)


def test_both_solvers_find_the_exact_inverse(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    target = mean_gradient(weight, val, val_labels)
    full = hessian(lambda w: mean_loss(w, train, labels, DAMPING), weight).reshape(weight.numel(), -1)
    exact = torch.linalg.solve(full, target.flatten()).reshape(weight.shape)
    solution = inverse_of(problem)
    assert float((solution - exact).norm() / exact.norm()) < 1e-4
    rng = torch.Generator().manual_seed(2)
    estimate = stochastic_inverse(weight, train, DAMPING, target, rng, steps=12000, batch_size=60, repeats=1)
    assert float((estimate - exact).norm() / exact.norm()) < 0.05
    correlation = torch.corrcoef(torch.stack([estimate.flatten(), solution.flatten()]))[0, 1]
    assert float(correlation) > 0.99


def test_influence_predicts_leaving_one_out(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    loss = float(mean_loss(weight, val, val_labels))
    predicted = -loss_influence(inverse_of(problem), weight, train, labels) / TRAIN
    indices = predicted.abs().argsort(descending=True)[:: TRAIN // 30]
    real = []
    for index in indices.tolist():
        # the mean is over one sample less, so the damping is scaled for the others to keep their weight of 1 / N
        others = torch.arange(TRAIN) != index
        damping = DAMPING * TRAIN / (TRAIN - 1)
        retrained = fit_last_layer(weight, train[others], labels[others], damping)
        real.append(float(mean_loss(retrained, val, val_labels)) - loss)
    assert np.corrcoef(predicted[indices], real)[0, 1] >= 0.9
    assert np.polyfit(predicted[indices].numpy(), real, 1)[0] == pytest.approx(1, abs=0.3)


def test_influence_predicts_replacing_one(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, labels, val, val_labels, weight = problem
    loss, inverse = float(mean_loss(weight, val, val_labels)), inverse_of(problem)
    noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    other = append_one((train + 0.5 * noise)[:, :-1])
    change = loss_influence(inverse, weight, other, labels) - loss_influence(inverse, weight, train, labels)
    predicted, real, indices = change / TRAIN, [], range(0, TRAIN, 8)
    for index in indices:
        replaced = train.clone()
        replaced[index] = other[index]
        retrained = fit_last_layer(weight, replaced, labels, DAMPING)
        real.append(float(mean_loss(retrained, val, val_labels)) - loss)
    assert np.corrcoef(predicted[:: indices.step], real)[0, 1] >= 0.9


def test_a_problem_that_cannot_be_solved_is_reported(problem: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    train, _, _, _, weight = problem
    with pytest.raises(TrainingError, match="larger damping"):
        conjugate_gradients(hessian_product(weight, train, 1e-9), torch.ones_like(weight), tolerance=1e-12, limit=3)
