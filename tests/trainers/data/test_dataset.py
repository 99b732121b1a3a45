from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import (
    Dataset,
    Split,
    check_fraction,
    check_label_noise,
)


def test_a_fraction_keeps_classes_even_and_a_seed_repeats_it(dataset: Dataset) -> None:
    some, again, other = (dataset.subset(0.25, seed) for seed in (1, 1, 2))
    assert some.train.labels.bincount().tolist() == [10, 10, 10]
    assert torch.equal(some.train.images, again.train.images)
    assert not torch.equal(some.train.images, other.train.images)
    assert some.val is dataset.val
    assert some.notes[-1].endswith("30 of 120 training images are used")
    assert dataset.subset(1.0, 0) is dataset
    assert len(dataset.subset(1e-9, 0).train) == 3


def test_label_noise_replaces_the_requested_share(dataset: Dataset) -> None:
    noisy, all_random = dataset.with_label_noise(0.5, 3), dataset.with_label_noise(1.0, 3)
    changed = (noisy.train.labels != dataset.train.labels).float().mean()
    assert 0.2 < changed <= 0.5  # some of the random labels are correct
    assert 0.5 < (all_random.train.labels != dataset.train.labels).float().mean() < 0.8
    assert torch.equal(noisy.train.labels, dataset.with_label_noise(0.5, 3).train.labels)
    assert noisy.train.images is dataset.train.images
    assert noisy.fingerprint() != dataset.fingerprint()
    assert dataset.with_label_noise(0.0, 0) is dataset


def test_the_fingerprint_tells_other_validation_images_and_labels_apart(dataset: Dataset) -> None:
    """What is chosen on val may not go on from what was chosen on another one of the same length."""
    val, rows = dataset.val, torch.arange(len(dataset.val)).flip(0)
    darker = Split(val.images // 2, val.labels)
    relabeled = val.with_labels(val.labels.roll(1))
    others = [dataclasses.replace(dataset, val=other) for other in (darker, relabeled, val.take(rows))]
    assert len({each.fingerprint() for each in (dataset, *others)}) == 4
    assert dataclasses.replace(dataset, val=val.take(rows.flip(0))).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range_are_refused_with_and_without_data(dataset: Dataset, share: float) -> None:
    for check in (check_fraction, lambda value: dataset.subset(value, 0)):
        with pytest.raises(UsageError, match=r"fraction of training images .* got"):
            check(share)
    for check in (check_label_noise, lambda value: dataset.with_label_noise(value, 0)):
        with pytest.raises(UsageError, match=r"labels .* got"):
            check(share)


def test_the_limits_of_both_shares() -> None:
    check_fraction(1.0)
    check_label_noise(0.0)
    check_label_noise(1.0)
    with pytest.raises(UsageError, match=r"above 0 .* got 0"):
        check_fraction(0.0)


def image_split(count: int = 4, side: int = 8) -> Split:
    return Split(torch.zeros(count, side, side, 3, dtype=torch.uint8), torch.arange(count) % 2)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            torch.rand(4, 8, 8, 3),
            torch.arange(4),
            r"uint8 \[n, h, w, 3\].*got float32 \[4, 8, 8, 3\]; multiply 0..1",
        ),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), r"got uint8 \[4, 3, 8, 8\]"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), torch.arange(4), r"got uint8 \[4, 8, 8\]"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.int64), torch.arange(4), "got int64"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.rand(4), r"labels .* int64 \[n\]; got float32"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.eye(4).long(), r"labels .* got int64 \[4, 4\]"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.arange(5), "a label for each image; got 4 and 5"),
        (np.zeros((4, 8, 8, 3), np.uint8), torch.arange(4), "images .* torch tensor; got ndarray; torch.from_numpy"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), [0, 1, 0, 1], "labels .* torch tensor; got list"),
    ],
)
def test_images_and_labels_of_other_types_are_refused(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Split(images, labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": image_split(0)}, "val has no images"),
        ({"test": image_split(side=16)}, r"test has \[16, 16\] pixels, train \[8, 8\]"),
        ({"val": Split(image_split().images, torch.tensor([0, 1, 2, 0]))}, "labels are 0 to 1; val has 2"),
        ({"train": Split(image_split().images, torch.tensor([0, -1, 1, 0]))}, "labels are 0 to 1; train has -1"),
        ({"val": (1, 2)}, "val is a Split; got tuple"),
        ({"classes": ["a", "b"]}, "a tuple of texts; got"),
        ({"classes": ("a", 1)}, "a tuple of texts; got"),
        ({"classes": ("a", "a")}, "'a' is there twice"),
        ({"classes": (*map(str, range(90_000)), "7")}, "'7' is there twice"),  # in less than minutes
        ({"classes": tuple(map(str, range(100_001)))}, "at most 100000 classes; got 100001"),
        ({"classes": tuple(f"{index:0250d}" for index in range(40_000))}, "at most 8388608 bytes; got 10000000: sh"),
        ({"classes": ("a", "b\x1b[0m")}, r"'b\?\[0m' holds U\+001B"),
    ],
)
def test_splits_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    splits = {"train": image_split(), "val": image_split(), "test": image_split()}
    with pytest.raises(DataError, match=message):
        Dataset("own", hflip=True, **{"classes": ("a", "b"), **splits, **changes})


def test_no_values_of_a_caller_are_changed() -> None:
    images = torch.rand(2, 8, 8, 3)
    kept = images.clone()
    assert torch.allclose(to_float(images), images.permute(0, 3, 1, 2) / 255)
    assert torch.equal(images, kept)


def test_labels_follow_classes_by_name(dataset: Dataset) -> None:
    other = dataset.with_classes(("red", "blue", "green"))
    assert other.classes == ("red", "blue", "green")
    for split, before in ((other.train, dataset.train), (other.val, dataset.val), (other.test, dataset.test)):
        names = [other.classes[label] for label in split.labels.tolist()]
        assert names == [dataset.classes[label] for label in before.labels.tolist()]
        assert split.images is before.images
    assert dataset.with_classes(dataset.classes) is dataset


def test_fewer_and_more_classes_are_named(dataset: Dataset) -> None:
    for classes, words in {
        ("red", "blue"): "it also has green",
        ("red", "blue", "green", "gray"): "it lacks gray",
        ("red", "blue", "black"): "it lacks black and it also has green",
    }.items():
        with pytest.raises(UsageError, match=words):
            dataset.with_classes(classes)


@pytest.mark.parametrize("wrong", [None, 3, "red", b"red", {"red": 0}, np.array(["red"]), (1, 2), ("red", "red")])
def test_classes_of_another_type_are_told(dataset: Dataset, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"are a tuple of texts|a name of its own"):
        dataset.with_classes(wrong)
    assert dataset.with_classes(["red", "blue", "green"]).classes == ("red", "blue", "green")


def test_a_truth_value_is_no_seed_and_no_number_of_images(dataset: Dataset) -> None:
    for count, seed in ((True, 0), (2, True)):
        with pytest.raises(UsageError):
            dataset.with_test_images(count, seed)


@pytest.mark.parametrize("wrong", ["0.5", None, True, [0.5]])
def test_shares_and_seeds_of_another_type_are_told(dataset: Dataset, wrong: Any) -> None:
    for call in (dataset.subset, dataset.with_label_noise):
        for share, seed in ((wrong, 0), (0.5, wrong)):
            with pytest.raises(UsageError, match=r"must be (above )?0|whole number from 0"):
                call(share, seed)
