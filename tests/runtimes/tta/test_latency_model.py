"""Costs of calls: what is known of a device's pace, and how soon."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.tta.latency_model import LatencyModel

SECONDS = st.floats(1e-4, 1.0)


def curve(one: float = 0.01, *, calls: int = 600) -> LatencyModel:
    """Of a device whose calls cost what they cost."""
    costs = LatencyModel({1: one, 2: 2 * one, 4: 4 * one})
    for _ in range(calls):
        costs.add(1, one)
    return costs


def test_without_a_measurement_one_is_tried_and_no_more() -> None:
    costs = LatencyModel()
    assert (costs.seconds(1), costs.seconds(2)) == (0.0, math.inf)
    costs.add(1, 0.02)
    assert 0.02 <= costs.seconds(1) < costs.seconds(2) < math.inf


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1, max_size=30), st.lists(st.integers(1, 24), min_size=1, max_size=30))
def test_costs_are_positive_numbers_whatever_was_seen(seconds: list[float], sizes: list[int]) -> None:
    costs = LatencyModel({1: seconds[0]})
    for n, each in zip(sizes, seconds, strict=False):
        costs.add(n, each)
    assert all(0 < costs.seconds(n) < math.inf for n in range(1, 65))


def test_what_was_not_measured_lies_between_what_was() -> None:
    costs = curve()
    assert costs.seconds(2) < costs.seconds(3) < costs.seconds(4)
    assert costs.seconds(8) == pytest.approx(2 * costs.seconds(4))


def test_steady_calls_are_known_within_a_percent() -> None:
    assert 0.01 <= curve().seconds(1) <= 0.0101
    assert 0.04 <= curve().seconds(4) <= 0.0404


def test_one_hiccup_changes_nothing() -> None:
    costs = curve()
    before = costs.seconds(1)
    costs.add(1, 1.0)
    assert costs.seconds(1) < 1.1 * before


@pytest.mark.parametrize("factor", [1.5, 3.0, 20.0])
def test_a_slow_spell_is_known_after_three_calls_and_forgotten_after_three(factor: float) -> None:
    costs = curve()
    usual = costs.seconds(2)
    for _ in range(3):
        costs.add(1, 0.01 * factor)
    assert costs.seconds(2) >= 0.95 * factor * usual
    for _ in range(40):
        costs.add(1, 0.01 * factor)
    for _ in range(3):
        costs.add(1, 0.01)
    assert costs.seconds(2) <= 1.2 * usual


def test_a_device_that_became_slower_for_good_is_believed() -> None:
    costs = curve()
    for _ in range(600):
        costs.add(1, 0.03)
    assert costs.seconds(1) == pytest.approx(0.03, rel=0.02)
    assert costs.seconds(4) == pytest.approx(0.12, rel=0.05)


def test_noise_is_covered() -> None:
    rng = np.random.default_rng(0)
    costs, late = LatencyModel({1: 0.01}), 0
    for number in range(4000):
        seconds = 0.01 * float(rng.lognormal(0, 0.1))
        late += number > 512 and seconds > costs.seconds(1)
        costs.add(1, seconds)
    assert 0.03 < late / 3500 < 0.07


def test_a_bad_warm_up_of_a_size_is_not_for_ever() -> None:
    costs = LatencyModel({1: 0.01, 2: 5.0})
    assert costs.seconds(2) <= 1.1 * costs.seconds(1) * 2


def test_memory_is_bounded() -> None:
    costs = curve(calls=5000)
    assert max(len(each) for each in vars(costs).values() if hasattr(each, "__len__")) <= 512
