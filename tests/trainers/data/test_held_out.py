"""A data set without val or test gets them from train, and that is said."""

from __future__ import annotations

import torch

from allweather.trainers.data.held_out import complete_splits
from allweather.trainers.data.split import Split


def split(*counts: int) -> Split:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Split(torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3), labels)


def missing(name: str) -> str:
    return f"there is no {name}"


def test_classes_that_are_too_thin_are_named() -> None:
    train, val, test, notes = complete_splits({"train": split(30, 2, 1)}, ("a", "b", "c"), missing, seed=7)
    assert [part.labels.bincount(minlength=3).tolist() for part in (train, val, test)] == [
        [24, 1, 1],
        [3, 1, 0],
        [3, 0, 0],
    ]
    assert notes == [
        "there is no val: 4 images of train are held out as val, a tenth of each class (seed 7)",
        "val has no image of c: train has only one, or copies of one, to learn from; add images",
        "there is no test: 3 images of train are held out as test, a tenth of each class (seed 7)",
        "test has no image of b, c: train has only one or two, or copies of them, to learn from; add images",
    ]


def test_val_stands_in_where_no_class_has_an_image_for_test() -> None:
    train, val, test, notes = complete_splits({"train": split(2, 2)}, ("a", "b"), missing)
    assert (len(train), len(val)) == (2, 2)
    assert test is val
    assert notes[-1].startswith("there is no test: val is used instead")


def test_splits_that_exist_stay() -> None:
    given = {"train": split(5, 5), "val": split(2, 2), "test": split(3, 3)}
    *parts, notes = complete_splits(given, ("a", "b"), missing)
    assert parts == list(given.values())
    assert notes == []
