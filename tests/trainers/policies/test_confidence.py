"""Temperatures and energies are found from logits whose overconfidence is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.policies.average import average_views, averages_of_budgets, mean_energies
from allweather.trainers.policies.confidence import (
    MIN_ROWS,
    decisions_of_budgets,
    fallback_policy,
    fit_confidence_model,
    fit_temperature,
)
from allweather.trainers.policies.every_view import ViewLogits

CLASSES = 5


def overconfident(count: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times as large as those that the labels were drawn by."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((count, CLASSES))
    labels = (rng.random((count, 1)) < probabilities(logits).cumsum(1)).argmax(1)
    return np.asarray(factor * logits, np.float32), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_factor_of_the_logits(factor: float) -> None:
    logits, labels = overconfident(20_000, factor)
    assert fit_temperature(probabilities(logits), labels) == pytest.approx(factor, rel=0.05)


def test_the_lowest_and_the_highest_temperature() -> None:
    sure = np.array([[0.9, 0.1]] * 4)
    assert fit_temperature(sure, np.zeros(4, np.int64)) == pytest.approx(0.05, rel=1e-3)  # none is incorrect
    assert fit_temperature(sure, np.ones(4, np.int64)) == pytest.approx(20, rel=1e-3)  # all are
    assert 0.05 <= fit_temperature(np.array([[1.0, 0.0]]), np.ones(1, np.int64)) <= 20


def views(count: int, factors: dict[str, float]) -> ViewLogits:
    logits, labels = overconfident(count, 1.0)
    rows = np.stack([factor * logits for factor in factors.values()]).astype(np.float32)
    return ViewLogits(tuple(factors), torch.from_numpy(rows), torch.from_numpy(labels))


def test_each_number_of_views_has_its_temperature_and_energy() -> None:
    results = views(5000, {"identity": 3.0, "hflip": 1.0})
    model = fit_confidence_model(parse_policy("hflip+logits"), results)
    assert model.temperatures == pytest.approx((3.0, 2.0), rel=0.1)  # the mean of both logits is twice as large
    for number, each in enumerate(decisions_of_budgets(parse_policy("hflip"), results), 1):
        limit = fit_confidence_model(parse_policy("hflip"), results).max_energies[number - 1]
        assert (each.energies > limit).mean() == pytest.approx(0.01, abs=0.002)
    assert model.acceptance is None


def test_few_images_or_errors_raise_no_confidence() -> None:
    policy = parse_policy("center")
    few = fit_confidence_model(policy, views(MIN_ROWS - 1, {"identity": 5.0}))
    assert few.temperatures == (1.0,)
    assert not few.is_unknown(1e6, 1)
    logits = np.eye(3)[np.arange(200) % 3][None] * 2  # all correct, with a confidence of 0.79
    labels = torch.arange(200) % 3
    faultless = ViewLogits(("identity",), torch.from_numpy(logits.astype(np.float32)), labels)
    assert fit_confidence_model(policy, faultless).temperatures == (1.0,)
    labels = torch.where(torch.arange(200) < 10, (labels + 1) % 3, labels)
    faulty = ViewLogits(("identity",), faultless.logits, labels)
    assert fit_confidence_model(policy, faulty).temperatures[0] < 1


def test_with_an_early_exit_only_images_that_run_a_view_count_for_it() -> None:
    results = views(3000, {"identity": 1.0, "hflip": 1.0})
    _, second = decisions_of_budgets(parse_policy("hflip@0.9"), results)
    late = second.views_run == 2
    assert MIN_ROWS < late.sum() < 3000
    model = fit_confidence_model(parse_policy("hflip@0.9"), results)
    assert model.temperatures[1] == fit_temperature(second.probabilities[late], results.labels.numpy()[late])
    few = fit_confidence_model(parse_policy("hflip@0.0001"), results)  # all end after one view
    assert few.temperatures[0] == few.temperatures[1]


@pytest.mark.parametrize("text", ["hflip", "hflip@0.6", "set:identity,hflip,zoom1.2", "top:2+flip"])
def test_budgets_end_with_all_views(text: str) -> None:
    rng, policy = np.random.default_rng(0), parse_policy(text, (), ("identity", "zoom1.2", "color2"))
    names, _ = policy.views_for(range(len(policy.views)))
    by_view = {name: rng.standard_normal((40, 3)).astype(np.float32) for name in names}
    chosen = policy.choose(rng.random((40, len(policy.views))), rng, 40)
    steps = [*averages_of_budgets(policy, chosen, by_view)]
    assert len(steps) == policy.max_views
    np.testing.assert_array_equal(steps[-1][0], average_views(policy, chosen, by_view)[0])
    for number, (average, views_run) in enumerate(steps, 1):
        assert views_run.max() <= number
        assert (np.diff([each[1] for each in steps], axis=0) >= 0).all()
        for row in range(40):
            run = [policy.views_for(chosen[row])[0][index] for index in range(views_run[row])]
            expected = np.mean([probabilities(by_view[name][row]) for name in run], 0)
            np.testing.assert_allclose(average[row], expected, rtol=1e-6)
    assert mean_energies(policy, chosen, by_view).shape == (40, policy.max_views)


def test_without_time_to_rank_the_identity_is_run() -> None:
    assert fallback_policy(parse_policy("hflip")) is None
    fallback = fallback_policy(parse_policy("top:2+flip+logits@0.9"))
    assert fallback is not None
    assert fallback.views_for([0])[0] == ("identity", "hflip")
    assert (fallback.averages, fallback.early_exit_threshold) == ("logits", 0.9)
