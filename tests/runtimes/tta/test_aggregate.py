"""The average over views: a probability distribution for any logits, whatever the order of the views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allweather.runtimes.tta.aggregate import agreement, average, scores
from allweather.runtimes.tta.policy import Averaged

BOTH: tuple[Averaged, ...] = ("probabilities", "logits")
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
ROUNDING = 2e-5  # relative to logits of up to 3e38, as differences of such
ANY = hnp.arrays(np.float32, SHAPES)  # nan and infinities too
USUAL = hnp.arrays(np.float32, SHAPES, elements=st.floats(-50, 50, width=32))


def is_distribution(probabilities: Any, classes: int) -> bool:
    within = bool((probabilities >= 0).all() and (probabilities <= 1).all())
    return within and probabilities.shape == (classes,) and abs(float(probabilities.sum()) - 1) < 1e-5


@pytest.mark.parametrize("averages", BOTH)
@settings(max_examples=40, deadline=None)
@given(logits=ANY)
@pytest.mark.slow
def test_any_logits_give_a_distribution(averages: Averaged, logits: Any) -> None:
    kept = logits.copy()
    probabilities = average(logits, (), averages)
    assert probabilities.dtype == np.float32
    assert is_distribution(probabilities, logits.shape[1])
    np.testing.assert_array_equal(logits, kept)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([np.inf, -np.inf, 0], [1, 0, 0]),
        ([np.inf, np.inf, 3e38], [0.5, 0.5, 0]),
        ([-np.inf, -np.inf, -np.inf], [1 / 3, 1 / 3, 1 / 3]),
        ([np.nan, np.nan, np.nan], [1 / 3, 1 / 3, 1 / 3]),
        ([np.nan, 1, 1], [0, 0.5, 0.5]),
        ([np.nan, -3e38, -np.inf], [0, 1, 0]),
        ([np.nan, np.inf, -np.inf], [0, 1, 0]),
    ],
)
def test_nan_and_infinite_logits(logits: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(average(np.array([logits], np.float32)), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=USUAL)
def test_it_is_the_mean_of_plain_softmax(logits: Any) -> None:
    weights = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(average(logits), (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("averages", BOTH)
@settings(max_examples=40, deadline=None)
@given(logits=ANY, data=st.data())
@pytest.mark.slow
def test_the_order_of_views_does_not_matter(averages: Averaged, logits: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(logits))))
    one, other = (average(rows, (), averages) for rows in (logits[order], logits))
    np.testing.assert_allclose(one, other, atol=1e-6 if averages == "probabilities" else ROUNDING)


@pytest.mark.parametrize("averages", BOTH)
@settings(max_examples=40, deadline=None)
@given(logits=ANY, data=st.data())
@pytest.mark.slow
def test_the_order_of_classes_is_kept(averages: Averaged, logits: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(logits.shape[1])))
    one, other = average(logits[:, order], (), averages), average(logits, (), averages)[order]
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("averages", BOTH)
@settings(max_examples=40, deadline=None)
@given(logits=USUAL, data=st.data())
@pytest.mark.slow
def test_a_constant_added_to_a_view_changes_nothing(averages: Averaged, logits: Any, data: st.DataObject) -> None:
    constants = data.draw(hnp.arrays(np.float32, (len(logits), 1), elements=st.floats(-50, 50, width=32)))
    one, other = (average(rows, (), averages) for rows in (logits + constants, logits))
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("averages", BOTH)
@settings(max_examples=40, deadline=None)
@given(logits=USUAL, times=st.integers(2, 5))
def test_repeating_all_views_changes_nothing(averages: Averaged, logits: Any, times: int) -> None:
    one, other = (average(rows, (), averages) for rows in (np.repeat(logits, times, axis=0), logits))
    np.testing.assert_allclose(one, other, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=USUAL, data=st.data())
@pytest.mark.slow
def test_the_mean_of_logits_is_the_geometric_mean_of_probabilities_normalized(logits: Any, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(logits), max_size=len(logits)))
    product = (scores(logits, "probabilities") ** (np.array(weights) / sum(weights))[:, None]).prod(axis=0)
    np.testing.assert_allclose(average(logits, weights, "logits"), product / product.sum(), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=ANY, times=st.integers(1, 4), weight=st.floats(1e-6, 1e6))
def test_of_one_view_or_of_equal_views_both_averages_are_the_same(logits: Any, times: int, weight: float) -> None:
    views = np.repeat(logits[:1], times, axis=0)
    one, other = (average(views, (weight,) * times, averages) for averages in BOTH)
    np.testing.assert_allclose(one, other, atol=ROUNDING)


@pytest.mark.parametrize(
    ("logits", "weights", "expected"),
    [
        ([[np.nan, np.nan, np.nan], [0, 1, 0]], (1, 1), [0.2741, 0.4519, 0.2741]),  # half of the second view's logits
        ([[np.inf, 0, 0], [0, 9, 0]], (1, 1), [1, 0, 0]),  # as a float16 that overflowed
        ([[-np.inf, 1, 0], [9, 1, 0]], (1, 1), [0, 0.7311, 0.2689]),  # what one view excludes is excluded
        ([[np.nan, 1, 0], [9, 1, 0]], (0, 1), [0.9995, 0.0003, 0.0001]),  # but not with a weight of 0
        ([[-np.inf, 0], [0, -np.inf]], (1, 1), [0.5, 0.5]),
        ([[1e6, 0, 0], [0, 9e5, 0]], (1, 1), [1, 0, 0]),  # nothing is clipped
        ([[65504, -65504], [-65504, 65500]], (1, 1), [0.8808, 0.1192]),  # the range of float16
        ([[-np.inf, np.nan, np.nan], [0, 1, 0]], (1e6, 1e6), [0.2741, 0.4519, 0.2741]),
    ],
)
def test_extreme_logits_are_averaged(logits: list[list[float]], weights: list[float], expected: list[float]) -> None:
    rows = np.array(logits, np.float32)
    np.testing.assert_allclose(average(rows, weights, "logits"), expected, atol=1e-4)
    assert np.isfinite(scores(rows, "logits")).all()


def test_64_views_of_the_largest_weight_have_a_finite_average() -> None:
    rows = np.tile(np.array([[np.inf, -np.inf, np.nan]], np.float32), (64, 1))
    assert average(rows, (1e6,) * 64, "logits").tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([[4, 0]], 1),
        ([[4, 0], [0, 3], [5, 0]], 2 / 3),
        ([[4, 0, 3], [0, 4, 3]], 0),  # the average is of a class that no view prefers
        ([[4, 0], [np.nan, 3], [5, np.inf]], 2 / 3),
    ],
)
def test_agreement_is_the_share_of_views_that_prefer_the_class_of_the_average(
    logits: list[list[float]], expected: float
) -> None:
    rows = np.array(logits, np.float32)
    chosen = average(rows, (), "logits" if expected == 0 else "probabilities")
    assert agreement(rows, chosen) == pytest.approx(expected)


def test_weights_of_views() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)
    assert average(logits, (1.0, 0.0))[0] > 0.9
    assert average(logits, (1.0, 3.0))[1] > 0.7
    assert np.array_equal(average(logits, (2.0, 2.0)), average(logits))
