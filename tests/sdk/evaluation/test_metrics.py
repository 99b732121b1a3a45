from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allweather.evaluation.metrics import (
    calibration_error,
    compute_metrics,
    intervals,
    mean_corruption_error,
    mean_error,
    reliability_bins,
)
from allweather.runtimes.errors import UsageError


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 12))
def test_scores_are_those_of_torch(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 20, (count, classes)).astype(np.float32)
    labels = rng.integers(classes, size=count)
    scores = compute_metrics(logits, labels)
    answers, true = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    chances = answers.softmax(1)
    truth = torch.nn.functional.one_hot(true, classes)
    losses = torch.nn.functional.cross_entropy(answers, true, reduction="none")
    assert np.array_equal(scores.answered, answers.argmax(1))
    assert np.array_equal(scores.right, answers.argmax(1) == true)
    assert np.allclose(scores.confidence, chances.max(1).values, atol=1e-6)
    assert np.allclose(scores.nll, losses, rtol=1e-5, atol=1e-6)
    assert np.allclose(scores.brier, ((chances - truth) ** 2).sum(1), atol=1e-6)


def test_answers_that_are_as_sure_as_right_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 40_000)
    right = rng.uniform(size=40_000) < sure
    bins = reliability_bins(sure, right)
    assert sum(count for count, _, _ in bins) == 40_000
    assert all(abs(confidence - accuracy) < 0.03 for count, confidence, accuracy in bins if count > 500)
    assert calibration_error(bins) < 0.02
    assert calibration_error(reliability_bins(np.ones(10), np.zeros(10, bool))) == 1


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        low, high = intervals(rng.uniform(size=(1, 400)) < 0.3, np.ones((1, 1)))
        held += bool(low[0] <= 0.3 <= high[0])
    assert 88 <= held <= 100


def test_corrupted_versions_of_one_picture_are_drawn_together() -> None:
    wrong = np.random.default_rng(2).uniform(size=(1, 500)) < 0.4
    alone = intervals(wrong, np.ones((1, 1)))
    twenty_times = intervals(np.repeat(wrong, 20, axis=0), np.full((1, 20), 1 / 20))
    assert np.allclose(alone, twenty_times)  # copies are no new pictures: the interval does not shrink


def test_mean_corruption_error() -> None:
    errors = {"fog": 0.2, "snow": 0.3}
    assert mean_error(errors) == pytest.approx(0.25)
    assert mean_corruption_error(errors, {"fog": 0.4, "snow": 0.3, "frost": 0.1}) == pytest.approx(75)
    with pytest.raises(UsageError, match="no error for snow; add it"):
        mean_corruption_error(errors, {"fog": 0.4})
