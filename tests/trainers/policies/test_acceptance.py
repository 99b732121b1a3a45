"""Accepted decisions err at most as often as asked for; where that cannot be shown, none are accepted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from allweather.runtimes.tta.confidence_model import ConfidenceModel
from allweather.trainers.policies.acceptance import (
    JudgedDecisions,
    find_acceptance,
    judge,
    log_binomial_tail,
    needed_images,
    smallest_held_risk,
)
from allweather.trainers.policies.confidence import BudgetDecisions

RISK = 0.1


def calibrated(rng: np.random.Generator, count: int) -> JudgedDecisions:
    """Decisions that are correct as often as they are confident."""
    confidence = rng.uniform(0.5, 1, count).astype(np.float32)
    return JudgedDecisions(confidence, rng.random(count) < confidence)


def true_risk(threshold: float) -> float:
    return (1 - max(threshold, 0.5)) / 2


@settings(deadline=None)
@given(count=st.integers(0, 3000), share=st.floats(0, 1), risk=st.floats(0.001, 0.9))
def test_the_tail_is_that_of_the_binomial_distribution(count: int, share: float, risk: float) -> None:
    errors = int(share * count)
    found, expected = log_binomial_tail(errors, count, risk), float(binom.logcdf(errors, count, risk))
    if math.isfinite(expected):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    else:  # smaller than scipy can tell
        assert found < -700


@pytest.mark.parametrize(("risk", "needed"), [(0.02, 149), (0.05, 59), (0.5, 5), (0.001, 2995)])
def test_the_fewest_images_that_can_show_a_risk(risk: float, needed: int) -> None:
    assert needed_images(risk) == needed
    assert log_binomial_tail(0, needed, risk) <= math.log(0.05) < log_binomial_tail(0, needed - 1, risk)


@pytest.mark.slow
def test_the_risk_is_held_as_often_as_promised_and_not_much_is_given_away() -> None:
    rng = np.random.default_rng(0)
    every = [find_acceptance([calibrated(rng, 2000)], [calibrated(rng, 2000)], RISK) for _ in range(150)]
    thresholds = [found.threshold for found in every if found is not None]
    assert len(thresholds) > 140
    exceeded = sum(true_risk(threshold) > RISK for threshold in thresholds)
    assert exceeded <= 14  # 5 % of 150 are 7.5; with a margin for chance
    assert 0.8 < np.mean(thresholds) < 0.85  # 0.8 would be best


def test_it_is_held_at_each_budget() -> None:
    """With one view the decisions are worse: the threshold is the one that they need."""
    rng = np.random.default_rng(0)

    def budgets() -> list[JudgedDecisions]:
        both = calibrated(rng, 4000)
        worse = JudgedDecisions(both.confidence, both.correct & (rng.random(4000) < 0.98))
        return [worse, both]

    first, second = budgets(), budgets()
    found, alone = find_acceptance(first, second, RISK), find_acceptance(first[1:], second[1:], RISK)
    assert found is not None
    assert alone is not None
    assert found.threshold > alone.threshold + 0.02
    assert found.coverage < alone.coverage
    accepted, errors = second[1].counts(found.threshold)
    assert (found.accepted, found.errors, found.images) == (accepted, errors, 4000)


def test_nothing_is_accepted_without_proof() -> None:
    rng = np.random.default_rng(0)
    first = calibrated(rng, 400)
    always_wrong = JudgedDecisions(first.confidence, np.zeros(400, np.bool_))
    few = JudgedDecisions(first.confidence[:20], np.ones(20, np.bool_))  # 29 are needed
    none = JudgedDecisions(first.confidence[:0], np.ones(0, np.bool_))
    unknown = JudgedDecisions(np.full(400, -np.inf, np.float32), first.correct)
    for second in (always_wrong, few, none, unknown):
        assert find_acceptance([first], [second], RISK) is None
    assert find_acceptance([unknown], [first], RISK) is None
    sure = JudgedDecisions(first.confidence, np.ones(400, np.bool_))
    everything = find_acceptance([sure], [sure], RISK)
    assert everything is not None
    assert everything.coverage == 1.0


def test_the_smallest_risk_that_is_held_is_told_where_a_smaller_one_is_not() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 2000).astype(np.float32)
    every_fifth = JudgedDecisions(confidence, np.arange(2000) % 5 != 0)  # wrong, however sure it is
    first = second = [every_fifth]
    assert find_acceptance(first, second, 0.05) is None
    held = smallest_held_risk(first, second, 0.05)
    assert held is not None
    assert 0.15 < held <= 0.25
    assert find_acceptance(first, second, held) is not None
    assert find_acceptance(first, second, held - 0.01) is None
    always_wrong = [JudgedDecisions(confidence, np.zeros(2000, np.bool_))]
    assert smallest_held_risk(first, always_wrong, 0.05) is None


def test_decisions_are_judged_as_the_camera_loop_does() -> None:
    model = ConfidenceModel((2.0, 1.0), (-1.0, -1.0))
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    decisions = BudgetDecisions(probabilities, np.array([1, 2, 2]), np.array([-3.0, -3.0, 0.0]), np.ones(3, np.bool_))
    confidence = judge(model, decisions).confidence
    np.testing.assert_allclose(confidence, [0.75, 0.9, -np.inf], rtol=1e-6)
    for row, views_run in ((0, 1), (1, 2)):
        assert confidence[row] == model.calibrated(probabilities[row].astype(np.float32), views_run).max()


@pytest.mark.parametrize("risk", [1e-300, 5e-324])
def test_the_number_of_images_for_a_tiny_risk_can_be_told(risk: float) -> None:
    assert needed_images(risk) == 10**12
