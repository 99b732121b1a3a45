"""The latency model: it follows the device's pace within a few calls, and covers the noise."""

from __future__ import annotations

import math
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.tta.latency_model import LatencyModel

SECONDS = st.floats(1e-4, 1.0)


def steady(one: float = 0.01, *, calls: int = 600) -> LatencyModel:
    """Returns the model of a device whose calls always take the same time."""
    latency = LatencyModel({1: one, 2: 2 * one, 4: 4 * one})
    for _ in range(calls):
        latency.add(1, one)
    return latency


def test_without_a_measurement_one_is_tried_and_no_more() -> None:
    latency = LatencyModel()
    assert (latency.seconds(1), latency.seconds(2)) == (0.0, math.inf)
    latency.add(1, 0.02)
    assert 0.02 <= latency.seconds(1) < latency.seconds(2) < math.inf


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1, max_size=30), st.lists(st.integers(1, 24), min_size=1, max_size=30))
@pytest.mark.slow
def test_predictions_are_positive_and_finite_whatever_was_observed(seconds: list[float], sizes: list[int]) -> None:
    latency = LatencyModel({1: seconds[0]})
    for n, each in zip(sizes, seconds, strict=False):
        latency.add(n, each)
    assert all(0 < latency.seconds(n) < math.inf for n in range(1, 65))


def test_sizes_that_were_not_measured_are_interpolated() -> None:
    latency = steady()
    assert latency.seconds(2) < latency.seconds(3) < latency.seconds(4)
    assert latency.seconds(8) == pytest.approx(2 * latency.seconds(4))


def test_steady_calls_are_predicted_within_a_percent() -> None:
    assert 0.01 <= steady().seconds(1) <= 0.0101
    assert 0.04 <= steady().seconds(4) <= 0.0404


def test_a_single_slow_call_changes_little() -> None:
    latency = steady()
    before = latency.seconds(1)
    latency.add(1, 1.0)
    assert latency.seconds(1) < 1.1 * before


@pytest.mark.parametrize("factor", [1.5, 3.0, 20.0])
def test_a_slow_period_is_noticed_after_three_calls_and_forgotten_after_three(factor: float) -> None:
    latency = steady()
    usual = latency.seconds(2)
    for _ in range(3):
        latency.add(1, 0.01 * factor)
    assert latency.seconds(2) >= 0.95 * factor * usual
    for _ in range(40):
        latency.add(1, 0.01 * factor)
    for _ in range(3):
        latency.add(1, 0.01)
    assert latency.seconds(2) <= 1.2 * usual


def test_a_device_that_stays_slower_is_learned() -> None:
    latency = steady()
    for _ in range(600):
        latency.add(1, 0.03)
    assert latency.seconds(1) == pytest.approx(0.03, rel=0.02)
    assert latency.seconds(4) == pytest.approx(0.12, rel=0.05)


def test_few_calls_take_longer_than_predicted() -> None:
    rng = np.random.default_rng(0)
    latency, late = LatencyModel({1: 0.01}), 0
    for number in range(4000):
        seconds = 0.01 * float(rng.lognormal(0, 0.1))
        late += number > 512 and seconds > latency.seconds(1)
        latency.add(1, seconds)
    assert 0.03 < late / 3500 < 0.07


def test_a_bad_warm_up_of_one_size_does_not_last() -> None:
    latency = LatencyModel({1: 0.01, 2: 5.0})
    assert latency.seconds(2) <= 1.1 * latency.seconds(1) * 2


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[1], [2], [1] * 5 + [2], [1, 2], [2] * 9 + [1], [1, 1, 1, 2, 2, 2]])
def test_calls_of_some_sizes_change_nothing_for_the_others(sizes: list[int]) -> None:
    """Noise is skewed: what was learned from it made the times of sizes that ran wander off, to five times theirs."""
    rng = np.random.default_rng(0)
    measured = {1: 0.01, 2: 0.019, 3: 0.028, 4: 0.037}
    latency = LatencyModel(measured)
    for n, noise in zip(cycle(sizes), rng.lognormal(0, 0.1, 20_000), strict=False):
        slow = 0.01 if rng.random() < 0.02 else 0.0
        latency.add(n, measured[n] * float(noise) + slow)
    for n, seconds in measured.items():
        assert latency.usual_seconds(n) == pytest.approx(seconds, rel=0.15)


def test_a_size_that_takes_longer_than_in_the_warm_up_is_learned_beside_others() -> None:
    latency = LatencyModel({1: 0.01, 2: 0.015, 4: 0.04})
    for n in [1, 1, 1, 1, 1, 2] * 200:
        latency.add(n, 0.01 * n)
    assert latency.usual_seconds(2) == pytest.approx(0.02, rel=0.03)
    assert latency.usual_seconds(4) == pytest.approx(0.04, rel=0.03)


def test_memory_is_bounded() -> None:
    latency = steady(calls=5000)
    assert max(len(each) for each in vars(latency).values() if hasattr(each, "__len__")) <= 512


def test_a_time_that_is_not_finite_tells_nothing() -> None:
    model = LatencyModel({1: 0.01})
    for seconds in (math.nan, math.inf, -math.inf, 0.01):
        model.add(1, seconds)
    assert model.usual_seconds(1) == pytest.approx(0.01)
