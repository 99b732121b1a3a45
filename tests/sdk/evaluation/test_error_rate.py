"""Errors and the paired differences between them: exact values, and intervals that know what is paired."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.evaluation.error_rate import error_change, error_rate


def test_the_value_is_the_mean_over_cells_and_images() -> None:
    rate = error_rate([np.array([True, False, False, True]), np.array([True, True, True, False])])
    assert rate is not None
    assert rate.value == pytest.approx(3 / 8)
    assert rate.low <= rate.value <= rate.high
    assert error_rate([]) is error_change([], []) is None


def test_a_change_is_known_better_than_the_errors_themselves() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(2000) < 0.7
    after = before | (rng.random(2000) < 0.1)  # one in ten of the errors is mended, and nothing else changes
    change, *errors = error_change([before], [after]), error_rate([before]), error_rate([after])
    assert change is not None
    one, other = errors
    assert one is not None
    assert other is not None
    assert change.value == pytest.approx(other.value - one.value)
    assert change.low <= change.value <= change.high < 0
    assert one.low < other.high, "the intervals of the errors overlap, which says nothing about the change"
    assert change.high - change.low < 0.6 * (one.high - one.low)


def test_the_same_predictions_change_no_more_than_so_few_images_may_have_missed() -> None:
    correct = [np.random.default_rng(index).random(100) < 0.8 for index in range(3)]
    change = error_change(correct, correct)
    assert change is not None
    assert (change.value, change.low, change.high) == pytest.approx((0, -0.0295, 0.0295), abs=1e-4)
