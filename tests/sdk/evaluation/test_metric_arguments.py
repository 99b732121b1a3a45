"""Arrays that numpy would stretch, wrap around or cast are refused, as the numbers would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from allweather import evaluation
from allweather.runtimes.errors import UsageError

LOGITS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
LABELS = np.array([0, 1, 2, 3, 1, 1])
CONFIDENCE = np.linspace(0.5, 1, 6, dtype=np.float32)
CORRECT = np.arange(6) % 2 == 0
PLAIN = np.ma.array(LOGITS, mask=LOGITS > 0), LOGITS.view(np.matrix)
INDICES: list[Any] = [
    np.ma.array(LABELS, mask=LABELS > 2),
    LABELS[:, None],
    LABELS[:5],
    LABELS - 1,
    LABELS.astype(float),
    LABELS.tolist(),
    1,
    None,
]
WRONG: list[Any] = [float("nan"), -0.1, "0.2", None, True]
REFUSED: list[tuple[Callable[..., Any], list[Any], int, list[Any]]] = [
    (evaluation.compute_metrics, [LOGITS, LABELS], 1, [*INDICES, LABELS + 1]),
    (
        evaluation.compute_metrics,
        [LOGITS, LABELS],
        0,
        [LOGITS[0], LOGITS.astype(complex), LOGITS[:, :0], None, "x", *PLAIN],
    ),
    (evaluation.confusion_matrix, [LABELS, LABELS, 4], 0, [*INDICES, LABELS + 1]),
    (evaluation.confusion_matrix, [LABELS, LABELS, 4], 1, [*INDICES, LABELS + 1]),
    (evaluation.confusion_matrix, [LABELS, LABELS, 4], 2, [3, 0, 4.0, "4", None, True]),
    (evaluation.class_scores, [LABELS, LABELS], 0, INDICES),
    (evaluation.class_scores, [LABELS, LABELS], 1, INDICES),
    (
        evaluation.reliability_bins,
        [CONFIDENCE, CORRECT],
        0,
        [CONFIDENCE * 100, -CONFIDENCE, CONFIDENCE[:3], [0.5], None],
    ),
    (evaluation.reliability_bins, [CONFIDENCE, CORRECT], 1, [CORRECT.astype(int), CORRECT[:, None], CORRECT[:5], None]),
    (
        evaluation.bootstrap_intervals,
        [CORRECT[None], np.ones((1, 1))],
        0,
        [CORRECT, CORRECT[None] * 1, CORRECT[None, :0], None],
    ),
    (evaluation.bootstrap_intervals, [CORRECT[None], np.ones((1, 1))], 1, [np.ones((1, 2)), np.ones(1), 1.0]),
    (evaluation.mean_error, [{"fog": 0.2}], 0, [{}, [0.2], None, *({"fog": wrong} for wrong in WRONG)]),
    (evaluation.calibration_error, [((2, 0.5, 0.5),)], 0, [None, "abc", ((1, 2),), *(((w, 0.5, 1.0),) for w in WRONG)]),
    (
        evaluation.mean_corruption_error,
        [{"fog": 0.2}, {"fog": 0.1}],
        0,
        [{"fog": wrong} for wrong in WRONG],
    ),
    (evaluation.mean_corruption_error, [{"fog": 0.2}, {"fog": 0.1}], 1, [[0.1], None, *({"fog": w} for w in WRONG)]),
    (evaluation.read_baseline, ["alexnet"], 0, [None, 3]),
]


@pytest.mark.parametrize(("function", "arguments", "place", "refused"), REFUSED)
def test_arrays_of_another_kind_are_refused_in_one_line(
    function: Callable[..., Any], arguments: list[Any], place: int, refused: list[Any]
) -> None:
    function(*arguments)
    for value in refused:
        with pytest.raises(UsageError) as caught:
            function(*arguments[:place], value, *arguments[place + 1 :])
        assert "\n" not in str(caught.value)


def test_no_image_at_all_counts_as_none() -> None:
    nothing = np.zeros(0, np.int64)
    assert evaluation.confusion_matrix(nothing, nothing, 3).sum() == 0
    assert sum(count for count, _, _ in evaluation.reliability_bins(CONFIDENCE[:0], CORRECT[:0])) == 0


@pytest.mark.parametrize("kinds", [("uint8", "uint8"), ("int8", "int8"), ("int64", "uint8"), ("uint64", "int64")])
def test_indices_of_any_integers_give_the_same_confusion_matrix(kinds: tuple[str, str]) -> None:
    rng = np.random.default_rng(0)
    predicted, labels = rng.integers(0, 20, (2, 500))
    expected = evaluation.confusion_matrix(predicted, labels, 20)
    assert expected.sum() == 500
    got = evaluation.confusion_matrix(predicted.astype(kinds[0]), labels.astype(kinds[1]), 20)
    np.testing.assert_array_equal(got, expected)  # 19 * 20 does not fit into uint8


def test_confidences_of_half_precision_are_sorted_by_what_they_are() -> None:
    confidence = np.random.default_rng(0).random(20_000).astype(np.float16)
    bins = evaluation.reliability_bins(confidence, np.ones(20_000, bool))
    assert bins == evaluation.reliability_bins(confidence.astype(np.float64), np.ones(20_000, bool))


@pytest.mark.parametrize("function", [evaluation.class_scores, lambda *arrays: evaluation.confusion_matrix(*arrays, 4)])
def test_the_array_that_is_wrong_is_named(function: Callable[..., Any]) -> None:
    for wrong in (None, LABELS.tolist()):
        with pytest.raises(UsageError, match=r"^predicted classes are whole numbers \[n\] in a numpy array"):
            function(wrong, LABELS)
        with pytest.raises(UsageError, match=r"^labels are whole numbers \[6\] in a numpy array"):
            function(LABELS, wrong)
