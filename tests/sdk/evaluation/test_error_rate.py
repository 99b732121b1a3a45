"""Errors and the paired differences between them: exact values, and intervals that know what is paired."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from allweather import evaluation
from allweather.evaluation.error_rate import error_change, error_rate
from allweather.evaluation.robustness import Robustness
from allweather.reports.clean import comparison_table
from allweather.reports.corrupted import summary_table
from allweather.runtimes.errors import UsageError
from allweather.runtimes.text import to_json
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset

CLASSES = ("blue", "green", "red")
KINDS = ("fog", "contrast", "saturate")


def classifier(classes: tuple[str, ...], bias: float = 0.0) -> Checkpoint:
    """Returns a classifier that compares the means of the channels, with a bias for its first class."""
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(4 * torch.eye(3)[[("red", "green", "blue").index(each) for each in classes]])
        head.bias.copy_(torch.tensor([bias, 0, 0]))
    return Checkpoint.of(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), classes, 32)


@pytest.fixture(scope="module")
def data(dataset: Dataset) -> Dataset:
    return dataset.with_test_images(20, seed=0)


@pytest.fixture(scope="module")
def pair(data: Dataset) -> tuple[Robustness, Robustness]:
    """A classifier, and one with a bias whose classes are in another order."""
    checkpoints = classifier(CLASSES), classifier(("red", "green", "blue"), bias=2)
    first, second = (evaluation.evaluate_corrupted(each, data, corruptions=KINDS) for each in checkpoints)
    return first, second


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


@pytest.mark.slow
def test_two_evaluations_are_compared_image_by_image(pair: tuple[Robustness, Robustness]) -> None:
    first, second = pair
    found = evaluation.paired_difference(first, second)
    assert found.clean.value == pytest.approx(second.clean.error - first.clean.error)
    assert found.common is not None
    assert first.common is not None
    assert second.common is not None
    assert found.common.value == pytest.approx(second.common.error - first.common.error)
    assert found.common.low <= found.common.value <= found.common.high
    assert set(found.by_corruption) == set(KINDS)
    back = evaluation.paired_difference(second, first)
    assert back.clean.value == pytest.approx(-found.clean.value)
    assert pickle.loads(pickle.dumps(first)).correctness.digest == second.correctness.digest  # noqa: S301 (ours)
    assert "correctness" not in json.dumps(to_json(first))
    rows = {row[0]: row[1:] for row in summary_table([first, second])}
    assert rows["2 of the common 15: difference from the first, points"][0] == ""
    assert rows["2 of the common 15: difference from the first, points"][1].startswith(
        f"{100 * found.common.value:+.2f}"
    )


@pytest.mark.slow
def test_evaluations_of_clean_images_are_compared(data: Dataset) -> None:
    checkpoint = classifier(CLASSES)
    first, second = evaluation.evaluate(checkpoint, data), evaluation.evaluate(classifier(CLASSES, bias=9), data)
    found = evaluation.paired_difference(first, second)
    assert found.clean.value == pytest.approx(first.accuracy - second.accuracy)
    assert found.clean.low > 0.3
    assert found.common is found.extra is None
    assert found.clean.images == 20
    assert not found.clean.beyond_chance, "so few images decide nothing"
    assert dataclasses.replace(found.clean, images=50).beyond_chance
    rows = {row[0]: row[1:] for row in comparison_table([first, second])}
    line = rows["error: difference from the first, points"]
    assert line[0] == ""
    assert line[1].startswith(f"{100 * found.clean.value:+.2f} (")
    assert "error: difference from the first, points" not in dict(comparison_table([first]))


@pytest.mark.slow
def test_two_classifiers_are_compared_as_they_run_with_their_policies(data: Dataset) -> None:
    first, second = (
        {
            each.policy: each
            for each in evaluation.evaluate_policies(classifier(CLASSES, bias=bias), data, "hflip").results
        }
        for bias in (0, 9)
    )
    found = evaluation.paired_difference(first["hflip"], second["hflip"]).clean
    assert found.value == pytest.approx(second["hflip"].clean.value - first["hflip"].clean.value)
    own = evaluation.paired_difference(first["center"], first["hflip"]).clean
    assert own == first["hflip"].changes["clean"]
    one_view = evaluation.evaluate(classifier(CLASSES), data)
    assert evaluation.paired_difference(one_view, first["center"]).clean.value == 0
    assert "correctness" not in json.dumps(to_json(first["hflip"]))


@pytest.mark.slow
def test_only_evaluations_of_the_same_images_are_compared(
    pair: tuple[Robustness, Robustness], data: Dataset, dataset: Dataset
) -> None:
    checkpoint = classifier(CLASSES)
    fog = evaluation.evaluate_corrupted(checkpoint, data, corruptions=["fog"])
    with pytest.raises(UsageError, match="other corruptions: fog, contrast, saturate, and fog; evaluate"):
        evaluation.paired_difference(pair[0], fog)
    for other_data, seed in ((dataset.with_test_images(20, seed=1), 0), (data, 1)):
        other = evaluation.evaluate_corrupted(checkpoint, other_data, corruptions=["fog"], seed=seed)
        with pytest.raises(UsageError, match=r"other images, so nothing is paired: .*; evaluate both"):
            evaluation.paired_difference(fog, other)
    with pytest.raises(UsageError, match=r"two results of evaluate .* or two of the results .*; got float"):
        evaluation.paired_difference(fog, 0.5)  # type: ignore[arg-type]


def test_corruptions_in_another_order_are_the_same(data: Dataset) -> None:
    orders = ["fog", "contrast"], ["contrast", "fog"]
    first, second = (evaluation.evaluate_corrupted(classifier(CLASSES), data, corruptions=each) for each in orders)
    found = evaluation.paired_difference(first, second)
    assert all(change.value == 0 for change in (found.clean, *found.by_corruption.values()))


def test_equal_errors_differ_by_exactly_nothing() -> None:
    wrong = [np.arange(18) >= count for count in (3, 4, 5, 6, 7)]
    change = error_change(wrong, wrong[::-1])
    assert change is not None
    assert change.value == 0
