"""Quantiles of durations, compared with NumPy's."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.loop.latency import MAX_SECONDS, MIN_SECONDS, RELATIVE_ERROR, Quantiles

durations = st.lists(
    st.floats(MIN_SECONDS, MAX_SECONDS, exclude_max=True) | st.floats(1e-4, 0.1), min_size=1, max_size=200
)
ROUNDING = 1e-9  # error of the logarithm at the edge of a bin


def filled(values: list[float]) -> Quantiles:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    return quantiles


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
@pytest.mark.slow
def test_quantiles_are_within_the_stated_error_of_numpys(values: list[float], q: float) -> None:
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert filled(values).quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR + ROUNDING)


@given(durations, st.floats(0, 1))
@pytest.mark.slow
def test_any_quantile_is_within_the_stated_error(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert filled(values).quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR + ROUNDING)


@given(durations)
@example([0.1] * 10)  # whose sum is less than ten times 0.1
@pytest.mark.slow
def test_count_mean_minimum_and_maximum_are_exact(values: list[float]) -> None:
    summary = filled(values).summary()
    assert summary is not None
    assert (summary.count, summary.minimum, summary.maximum) == (len(values), min(values), max(values))
    assert summary.mean == pytest.approx(math.fsum(values) / len(values))
    ordered = [summary.minimum, summary.p50, summary.p90, summary.p99, summary.maximum]
    assert ordered == sorted(ordered)
    assert summary.minimum <= summary.mean <= summary.maximum


@given(durations, durations)
@pytest.mark.slow
def test_merging_is_the_same_as_adding_all(first: list[float], second: list[float]) -> None:
    merged = filled(first)
    merged.merge(filled(second))
    together = filled(first + second)
    assert merged.count == together.count
    for q in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0):
        assert merged.quantile(q) == together.quantile(q)


def test_merging_nothing_changes_nothing() -> None:
    quantiles = filled([0.01, 0.02])
    before = quantiles.summary()
    quantiles.merge(Quantiles())
    assert quantiles.summary() == before


@given(st.lists(st.floats(0, MIN_SECONDS, exclude_max=True), min_size=1))
@pytest.mark.slow
def test_below_its_range_it_is_off_by_less_than_a_microsecond(values: list[float]) -> None:
    assert abs(filled(values).quantile(0.5) - np.quantile(values, 0.5, method="inverted_cdf")) < MIN_SECONDS


def test_above_its_range_the_maximum_is_returned() -> None:
    assert filled([0.001, 2000.0, 5000.0]).quantile(0.5) == 5000.0
    assert filled([0.001, 0.001, 5000.0]).quantile(0.5) == pytest.approx(0.001, rel=RELATIVE_ERROR)


def test_memory_does_not_grow() -> None:
    quantiles = filled([0.001])
    before = sys.getsizeof(quantiles._bins)
    for value in np.geomspace(1e-8, 1e5, 20_000):
        quantiles.add(float(value))
    assert sys.getsizeof(quantiles._bins) == before < 20_000


@pytest.mark.parametrize("value", [-1e-9, math.inf, -math.inf, math.nan])
def test_an_impossible_duration_is_refused(value: float) -> None:
    quantiles = Quantiles()
    with pytest.raises(UsageError, match="finite"):
        quantiles.add(value)
    assert quantiles.summary() is None


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_an_impossible_quantile_is_refused(q: float) -> None:
    with pytest.raises(UsageError, match="0 <= q <= 1"):
        filled([1.0]).quantile(q)


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="of 0"):
        Quantiles().quantile(0.5)


@given(durations, st.lists(st.floats(MIN_SECONDS, 10 * MAX_SECONDS), min_size=1, max_size=8))
@pytest.mark.slow
def test_counts_up_to_a_bound_are_numpys_within_the_stated_error(values: list[float], bounds: list[float]) -> None:
    quantiles = filled(values)
    bounds = sorted(bounds)
    for bound, count in zip(bounds, quantiles.cumulative_counts(bounds), strict=True):
        tolerance = 1 + 2.1 * RELATIVE_ERROR
        array = np.array(values)
        assert (array <= bound / tolerance).sum() <= count <= (array <= bound * tolerance).sum()
