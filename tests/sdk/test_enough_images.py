"""What images are enough for agrees with what the commands do with as many."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from allweather.enough_images import Purpose, few_val_notes, purposes
from allweather.exporters.calibration import calibration_set
from allweather.runtimes.errors import DataError
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.held_out import complete_splits
from allweather.trainers.data.inventory import count_labels
from allweather.trainers.data.split import Split
from allweather.trainers.methods.loss_predictor.held_back import holds_back, policy_images


def found(**counts: int) -> dict[str, Purpose]:
    """What two classes with that many images in each split are enough for, by the name of the command."""
    labels = {split: [0, 1] * (count // 2) for split, count in counts.items()}
    return {each.purpose: each for each in purposes(count_labels("pets", ("cat", "dog"), labels))}


def images(count: int) -> Split:
    return Split(torch.zeros(count, 16, 16, 3, dtype=torch.uint8), torch.arange(count) % 2)


@pytest.mark.parametrize(
    ("count", "conclusion"), [(30, "too few: FP32 alone"), (32, "works with rough"), (300, "enough")]
)
def test_int8_is_as_the_calibration_says(count: int, conclusion: str, caplog: pytest.LogCaptureFixture) -> None:
    assert found(train=count, val=10)["export to INT8"].conclusion.startswith(conclusion)
    data = Dataset("pets", ("cat", "dog"), images(count), images(10), images(10), hflip=True)
    if count < 32:
        with pytest.raises(DataError, match="at least 32"):
            calibration_set(data)
    else:
        calibration_set(data)
        assert ("ranges are only stable" in caplog.text) == (count < 300)


@pytest.mark.parametrize("count", [48, 998, 1000, 6000])
def test_val_is_shared_as_the_predictor_shares_it(count: int) -> None:
    val, rows = images(count), found(train=2000, val=count)
    assert (rows["train-predictor"].conclusion == "enough") == holds_back(val)
    assert rows["tune-policy, views by predicted loss"].images == len(policy_images(val, has_predictor=True))
    assert rows["tune-policy"].conclusion.startswith(
        "too few" if count < 50 else "chooses" if count < 1000 else "enough"
    )


@pytest.mark.parametrize("count", [0, 49, 50])
def test_a_val_split_that_chooses_no_policy_is_told_with_what_to_do(count: int) -> None:
    notes = few_val_notes(count)
    assert bool(notes) == (count < 50)
    assert all(words in note for note in notes for words in (str(count), "one view will be stored", "divide them"))


def test_missing_splits_are_held_out_of_train() -> None:
    rows = found(train=1000)
    assert (rows["train"].images, rows["tune-policy"].images, rows["evaluate"].images) == (400, 100, 100)
    assert found(train=1000, val=60)["evaluate"].counted == "val"
    assert purposes(count_labels("pets", ("cat", "dog"), {"test": [0, 1]})) == ()


def test_intervals_become_narrower_with_more_images() -> None:
    conclusions = [found(train=100, val=count)["evaluate"].conclusion for count in (100, 400)]
    assert conclusions == ["an error of 10 % is ± 5.9 points", "an error of 10 % is ± 2.9 points"]
    rng = np.random.default_rng(0)
    spread = np.std([rng.binomial(400, 0.1) / 400 for _ in range(4000)])
    assert 100 * 1.96 * spread == pytest.approx(2.9, abs=0.15)


def test_a_thin_class_is_counted() -> None:
    inventory = count_labels("pets", ("cat", "dog"), {"train": [0] * 50 + [1] * 9, "val": [0, 1]})
    assert purposes(inventory)[0].conclusion == "1 of 2 classes have fewer"


@pytest.mark.parametrize("empty", [["val"], ["test"], ["val", "test"]])
def test_a_split_without_images_is_as_one_that_is_missing(empty: list[str]) -> None:
    splits = {"train": [0, 1] * 100, "val": [0, 1] * 20, "test": [0, 1] * 30}
    without = {split: labels for split, labels in splits.items() if split not in empty}
    with_empty: dict[str, list[int]] = {**splits, **{split: [] for split in empty}}
    expected = purposes(count_labels("pets", ("cat", "dog"), without))
    assert purposes(count_labels("pets", ("cat", "dog"), with_empty)) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 15, 26])
def test_what_is_held_out_of_small_classes_is_what_the_commands_hold_out(count: int) -> None:
    labels = torch.arange(60) // count % 60
    given = Split(torch.zeros(60, 4, 4, 3, dtype=torch.uint8), labels)
    names = [f"class{label}" for label in labels.unique().tolist()]
    inventory = count_labels("many", names, {"train": labels.tolist()})
    if count == 1:
        assert purposes(inventory) == ()
        return
    train, val, test, _ = complete_splits({"train": given}, names, "there is no {}".format)
    rows = {each.purpose: each for each in purposes(inventory)}
    assert rows["export to INT8"].images == len(train)
    assert rows["train"].images == int(torch.bincount(train.labels).min())
    assert (rows["tune-policy"].images, rows["evaluate"].images) == (len(val), len(test))
