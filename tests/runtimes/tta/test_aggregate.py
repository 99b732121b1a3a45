"""The average over views: a probability distribution for any logits, whatever the order of the views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allweather.runtimes.tta.aggregate import average_probabilities

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
ANY = hnp.arrays(np.float32, SHAPES)  # nan and infinities too
USUAL = hnp.arrays(np.float32, SHAPES, elements=st.floats(-50, 50, width=32))


def is_distribution(probabilities: Any, classes: int) -> bool:
    within = bool((probabilities >= 0).all() and (probabilities <= 1).all())
    return within and probabilities.shape == (classes,) and abs(float(probabilities.sum()) - 1) < 1e-5


@settings(max_examples=40, deadline=None)
@given(logits=ANY)
def test_any_logits_give_a_distribution(logits: Any) -> None:
    kept = logits.copy()
    probabilities = average_probabilities(logits)
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
    np.testing.assert_allclose(average_probabilities(np.array([logits], np.float32)), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=USUAL)
def test_it_is_the_mean_of_plain_softmax(logits: Any) -> None:
    weights = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(
        average_probabilities(logits), (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0), atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(logits=ANY, data=st.data())
def test_the_order_of_views_does_not_matter(logits: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(logits))))
    np.testing.assert_allclose(average_probabilities(logits[order]), average_probabilities(logits), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=ANY, data=st.data())
def test_the_order_of_classes_is_kept(logits: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(logits.shape[1])))
    np.testing.assert_allclose(average_probabilities(logits[:, order]), average_probabilities(logits)[order], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logits=USUAL, data=st.data())
def test_a_constant_added_to_a_view_changes_nothing(logits: Any, data: st.DataObject) -> None:
    constants = data.draw(hnp.arrays(np.float32, (len(logits), 1), elements=st.floats(-50, 50, width=32)))
    np.testing.assert_allclose(average_probabilities(logits + constants), average_probabilities(logits), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(logits=ANY, times=st.integers(2, 5))
def test_repeating_all_views_changes_nothing(logits: Any, times: int) -> None:
    np.testing.assert_allclose(
        average_probabilities(np.repeat(logits, times, axis=0)), average_probabilities(logits), atol=1e-6
    )


def test_weights_of_views() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)
    assert average_probabilities(logits, (1.0, 0.0))[0] > 0.9
    assert average_probabilities(logits, (1.0, 3.0))[1] > 0.7
    assert np.array_equal(average_probabilities(logits, (2.0, 2.0)), average_probabilities(logits))
