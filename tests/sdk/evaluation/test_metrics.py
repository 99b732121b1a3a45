from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.evaluation.metrics import (
    bootstrap_intervals,
    calibration_error,
    class_scores,
    compute_metrics,
    mean_corruption_error,
    mean_error,
    reliability_bins,
)
from allweather.runtimes.errors import UsageError


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 12))
@pytest.mark.slow
def test_metrics_are_those_of_torch(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 20, (count, classes)).astype(np.float32)
    labels = rng.integers(classes, size=count)
    metrics = compute_metrics(logits, labels)
    outputs, true = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    probabilities = outputs.softmax(1)
    one_hot = torch.nn.functional.one_hot(true, classes)
    losses = torch.nn.functional.cross_entropy(outputs, true, reduction="none")
    assert np.array_equal(metrics.predicted, outputs.argmax(1))
    assert np.array_equal(metrics.correct, outputs.argmax(1) == true)
    assert np.allclose(metrics.confidence, probabilities.max(1).values, atol=1e-6)
    assert np.allclose(metrics.nll, losses, rtol=1e-5, atol=1e-6)
    assert np.allclose(metrics.brier, ((probabilities - one_hot) ** 2).sum(1), atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
@pytest.mark.slow
def test_the_scores_of_classes_are_those_of_their_definitions(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = (np.array(values) for values in zip(*pairs, strict=True))
    scores = class_scores(predicted, labels)
    assert list(scores) == sorted(set(labels.tolist()))
    for label, each in scores.items():
        hits = pairs.count((label, label))
        false_positives = sum(other == label != true for true, other in pairs)
        misses = sum(true == label != other for true, other in pairs)
        assert each.images == hits + misses
        assert each.precision == pytest.approx(hits / max(1, hits + false_positives))
        assert each.recall == pytest.approx(hits / (hits + misses))
        assert each.f1 == pytest.approx(2 * hits / (2 * hits + false_positives + misses))


def test_predictions_as_accurate_as_confident_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 40_000)
    correct = rng.uniform(size=40_000) < confidence
    bins = reliability_bins(confidence, correct)
    assert sum(count for count, _, _ in bins) == 40_000
    assert all(abs(mean - accuracy) < 0.03 for count, mean, accuracy in bins if count > 500)
    assert calibration_error(bins) < 0.02
    assert calibration_error(reliability_bins(np.ones(10), np.zeros(10, bool))) == 1


@pytest.mark.slow
def test_intervals_contain_the_true_error_as_often_as_they_should() -> None:
    rng = np.random.default_rng(1)
    contained = 0
    for _ in range(100):
        low, high = bootstrap_intervals(rng.uniform(size=(1, 400)) < 0.3, np.ones((1, 1)))
        contained += bool(low[0] <= 0.3 <= high[0])
    assert 88 <= contained <= 100


def test_corrupted_versions_of_one_image_are_resampled_together() -> None:
    incorrect = np.random.default_rng(2).uniform(size=(1, 500)) < 0.4
    alone = bootstrap_intervals(incorrect, np.ones((1, 1)))
    twenty_times = bootstrap_intervals(np.repeat(incorrect, 20, axis=0), np.full((1, 20), 1 / 20))
    assert np.allclose(alone, twenty_times)  # copies are not new images: the interval does not shrink


def test_mean_corruption_error() -> None:
    errors = {"fog": 0.2, "snow": 0.3}
    assert mean_error(errors) == pytest.approx(0.25)
    assert mean_corruption_error(errors, {"fog": 0.4, "snow": 0.3, "frost": 0.1}) == pytest.approx(75)
    with pytest.raises(UsageError, match="no error for snow"):
        mean_corruption_error(errors, {"fog": 0.4})
    with pytest.raises(UsageError, match="got no errors"):
        mean_corruption_error({}, {"fog": 0.4})
    for wrong in (-0.1, float("nan"), float("inf"), 31.0):  # the last one is in percent
        for pair in (({"fog": 0.1, "snow": wrong}, {"fog": 0.4, "snow": 0.3}), ({"snow": 0.1}, {"snow": wrong})):
            with pytest.raises(UsageError, match=r"errors are shares, 0 to 1; got .* for snow: divide percent by 100"):
                mean_corruption_error(*pair)


@pytest.mark.parametrize(("incorrect", "low", "high"), [(False, 0.0, 0.0487), (True, 0.9513, 1.0)])
def test_an_interval_without_variation_holds_what_so_few_images_may_have_missed(
    incorrect: bool, low: float, high: float
) -> None:
    cells = np.full((2, 60), incorrect)
    lows, highs = bootstrap_intervals(cells, np.array([[1, 0], [0.5, 0.5]]))
    assert lows == pytest.approx([low, low], abs=1e-4)
    assert highs == pytest.approx([high, high], abs=1e-4)


def test_the_interval_of_a_difference_that_no_image_shows_holds_both_signs() -> None:
    (low,), (high,) = bootstrap_intervals(np.zeros((2, 60), bool), np.array([[1.0, -1.0]]))
    assert (low, high) == pytest.approx((-0.0487, 0.0487), abs=1e-4)
