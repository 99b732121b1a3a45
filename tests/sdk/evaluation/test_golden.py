"""Our mean errors reproduce the published figures of other people's classifiers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from allweather.evaluation.baselines import read_baseline
from allweather.evaluation.metrics import mean_corruption_error, mean_error
from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions import COMMON


def errors_of(folder: Path, name: str) -> dict[str, dict[str, float]]:
    """Mean error over the severities of each corruption, for each model of a table of accuracies."""
    with (folder / f"{name}_accuracies.csv").open(newline="") as file:
        corruptions, severities, *models = list(csv.reader(file))
    assert severities[1:] == [*"12345"] * len(COMMON)
    assert set(corruptions[1:]) == set(COMMON)
    table = {}
    for model, *accuracies in models:
        rows: dict[str, list[float]] = {}
        for corruption, accuracy in zip(corruptions[1:], accuracies, strict=True):
            rows.setdefault(corruption, []).append(1 - float(accuracy))
        table[model] = {corruption: mean_error(dict(enumerate(each))) for corruption, each in rows.items()}
    return table


@pytest.mark.parametrize("name", ["cifar10c", "cifar100c"])
def test_published_means_are_reproduced(golden: Path, name: str) -> None:
    published = json.loads((golden / f"{name}_published_means.json").read_text())
    table = errors_of(golden, name)
    assert len(published) >= 13
    for model, accuracy in published.items():
        assert 100 * (1 - mean_error(table[model])) == pytest.approx(accuracy, abs=0.01), model


def test_a_published_baseline_relative_to_itself_and_to_another_network(golden: Path) -> None:
    baseline = read_baseline(str(golden / "cifar10c_baseline_errors_wrn40_2.json"))
    common = {name: baseline.errors[name] for name in COMMON}
    assert 100 * mean_error(common) == pytest.approx(26.94, abs=0.01)
    assert mean_corruption_error(common, baseline.errors) == pytest.approx(100)
    standard = errors_of(golden, "cifar10c")["Standard"]
    assert 95 < mean_corruption_error(standard, baseline.errors) < 105  # another network with standard training


def test_alexnet_has_its_published_mean_error_on_imagenet_c() -> None:
    alexnet = read_baseline("alexnet")
    assert 100 * mean_error({name: alexnet.errors[name] for name in COMMON}) == pytest.approx(78.90, abs=0.005)


def test_a_baseline_with_a_missing_or_zero_error_is_refused() -> None:
    with pytest.raises(UsageError, match="no error for snow"):
        mean_corruption_error({"fog": 0.2, "snow": 0.3}, {"fog": 0.1})
    with pytest.raises(UsageError, match=r"error for fog is 0.*above 0"):
        mean_corruption_error({"fog": 0.2}, {"fog": 0.0})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file .*baseline.json, to read a baseline from: check the path, or give alexnet"),
        ("{", "not a baseline: expected JSON"),
        ("[1, 2]", "not a baseline: expected JSON"),
        ('{"fog": "much"}', "not a baseline: expected JSON"),
        ('{"fog": 0.12, "snow": 0.3}', "no error above 1 %.* expected percent"),
        ('{"results": []}', "not a baseline: expected JSON"),
    ],
)
def test_a_text_that_is_not_a_baseline_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_baseline(str(path))
