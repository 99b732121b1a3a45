"""Quantiles against numpy's, and the account of a run."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Decision, StageTimes
from allweather.runtimes.pace import LARGEST, RELATIVE_ERROR, SMALLEST, Drops, Quantiles, Spread, Tally

durations = st.lists(st.floats(SMALLEST, LARGEST, exclude_max=True) | st.floats(1e-4, 0.1), min_size=1, max_size=200)
ROUNDING = 1e-9  # of the logarithm at the edge of a bin


def filled(values: list[float]) -> Quantiles:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    return quantiles


def decision(*, age: float = 0.02, late: bool = False, seconds: float = 0) -> Decision:
    times = StageTimes(0, 0, 0, 0, seconds, 0)
    return Decision("stop", 1.0, np.ones(1, np.float32), 0, ("identity",), (), times, age, late, 0)


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_within_the_stated_error_of_numpys(values: list[float], q: float) -> None:
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert filled(values).quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR + ROUNDING)


@given(durations, st.floats(0, 1))
def test_any_quantile_is_within_the_stated_error(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert filled(values).quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR + ROUNDING)


@given(durations)
@example([0.1] * 10)  # whose sum is less than ten times 0.1
def test_count_mean_and_ends_are_exact(values: list[float]) -> None:
    spread = filled(values).spread()
    assert spread is not None
    assert (spread.count, spread.minimum, spread.maximum) == (len(values), min(values), max(values))
    assert spread.mean == pytest.approx(math.fsum(values) / len(values))
    ordered = [spread.minimum, spread.p50, spread.p90, spread.p99, spread.maximum]
    assert ordered == sorted(ordered)
    assert spread.minimum <= spread.mean <= spread.maximum


@given(durations, durations)
def test_merging_is_adding_all(first: list[float], second: list[float]) -> None:
    merged = filled(first)
    merged.merge(filled(second))
    together = filled(first + second)
    assert merged.count == together.count
    for q in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0):
        assert merged.quantile(q) == together.quantile(q)


def test_merging_nothing_changes_nothing() -> None:
    quantiles = filled([0.01, 0.02])
    before = quantiles.spread()
    quantiles.merge(Quantiles())
    assert quantiles.spread() == before


@given(st.lists(st.floats(0, SMALLEST, exclude_max=True), min_size=1))
def test_below_its_range_it_is_off_by_less_than_a_microsecond(values: list[float]) -> None:
    assert abs(filled(values).quantile(0.5) - np.quantile(values, 0.5, method="inverted_cdf")) < SMALLEST


def test_above_its_range_the_largest_stands_for_all() -> None:
    assert filled([0.001, 2000.0, 5000.0]).quantile(0.5) == 5000.0
    assert filled([0.001, 0.001, 5000.0]).quantile(0.5) == pytest.approx(0.001, rel=RELATIVE_ERROR)


def test_memory_stays_the_same() -> None:
    quantiles = filled([0.001])
    before = sys.getsizeof(quantiles._bins)
    for value in np.geomspace(1e-8, 1e5, 20_000):
        quantiles.add(float(value))
    assert sys.getsizeof(quantiles._bins) == before < 20_000


@pytest.mark.parametrize("value", [-1e-9, math.inf, -math.inf, math.nan])
def test_what_is_no_duration_is_refused(value: float) -> None:
    quantiles = Quantiles()
    with pytest.raises(UsageError, match="finite"):
        quantiles.add(value)
    assert quantiles.spread() is None


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_what_is_no_quantile_is_refused(q: float) -> None:
    with pytest.raises(UsageError, match="0 <= q <= 1"):
        filled([1.0]).quantile(q)


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="of 0"):
        Quantiles().quantile(0.5)


def test_a_tally_counts_and_times_by_the_clock_it_is_given() -> None:
    now = [100.0]
    tally = Tally(clock=lambda: now[0])
    tally.add(decision(age=0.02, seconds=0.01))
    tally.add(decision(age=0.06, late=True, seconds=0.03))
    tally.wrote(0.5)
    now[0] = 104.0
    report = tally.report(Drops(decode=1, superseded=2))
    assert (report.frames, report.decided, report.late, report.seconds) == (5, 2, 1, 4.0)
    assert report.drops == Drops(decode=1, superseded=2)
    assert report.decisions_per_second == 0.5
    assert report.decision_time == Spread(2, 0.01, 0.02, 0.01, 0.03, 0.03, 0.03)
    assert report.frame_age is not None
    assert report.frame_age.maximum == 0.06
    assert list(report.stages) == ["prepare", "rank", "plan", "views", "infer", "vote", "sink"]
    assert (report.stages["infer"].mean, report.stages["sink"].maximum) == (0.02, 0.5)
    assert (report.looks, report.mean_looks) == (((1, 2),), 1.0)


def test_a_run_without_frames_has_a_report() -> None:
    report = Tally(clock=lambda: 1.0).report(Drops())
    assert (report.frames, report.seconds, report.decisions_per_second) == (0, 0.0, 0.0)
    assert report.decision_time is None
    assert report.frame_age is None
    assert (report.stages, report.looks, report.mean_looks) == ({}, (), 0.0)


def test_drops_are_told_apart_in_time() -> None:
    assert Drops(3, 10, 2, 1, 5).since(Drops(1, 4, 2, 0, 1)) == Drops(2, 6, 0, 1, 4)
    assert Drops(1, 4, 2, 0, 1).plus(Drops(2, 6, 0, 1, 4)) == Drops(3, 10, 2, 1, 5)
    assert Drops(2, 6, 3, 1, source=7).total == 12
