from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import (
    Dataset,
    Split,
    check_fraction,
    check_label_noise,
    split_off,
    split_off_each_class,
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


def test_splitting_off_divides_and_keeps_the_order(dataset: Dataset) -> None:
    rest, part = split_off(dataset.train, 20, 5)
    assert (len(rest), len(part)) == (100, 20)
    together = {image.numpy().tobytes() for split in (rest, part) for image in split.images}
    assert together == {image.numpy().tobytes() for image in dataset.train.images}
    assert torch.equal(rest.labels, rest.labels.sort().values)  # as in the folder, class by class
    for count in (0, 120, 121):
        with pytest.raises(DataError, match=f"hold out {count} of 120 images"):
            split_off(dataset.train, count, 5)


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


def test_each_class_is_held_out_in_its_share() -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate((200, 25, 6, 2, 1))])
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3).contiguous()
    rest, part = split_off_each_class(Split(images, labels), 0.1, 5)
    assert part.labels.bincount(minlength=5).tolist() == [20, 2, 1, 1, 0]
    assert len(rest) + len(part) == len(labels)
    again = split_off_each_class(Split(images, labels), 0.1, 5)[1]
    assert torch.equal(again.images, part.images)
    with pytest.raises(DataError, match="no class has two"):
        split_off_each_class(Split(images[:2], torch.tensor([0, 1])), 0.1, 5)


@given(
    labels=st.lists(st.integers(0, 2), min_size=4, max_size=40),
    groups=st.lists(st.integers(0, 12), min_size=40, max_size=40),
    seed=st.integers(0, 9),
)
def test_copies_of_one_image_are_never_on_both_sides(labels: list[int], groups: list[int], seed: int) -> None:
    copies = [[i for i in range(len(labels)) if groups[i] == group] for group in range(10)]
    copies = [group for group in copies if len(group) > 1]
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    split = Split(images, torch.tensor(labels))
    try:
        rest, part = split_off_each_class(split, 0.2, seed, copies)
    except DataError:  # all images of each class are copies of one another, or have copies in other classes
        return
    held_out = set(part.images[:, 0, 0, 0].tolist())
    assert held_out | set(rest.images[:, 0, 0, 0].tolist()) == set(range(len(labels)))
    assert all(len(held_out & set(group)) in (0, len(group)) for group in copies)
    assert set(rest.labels.tolist()) == set(labels)


def test_a_class_of_pairs_is_held_out_as_pairs() -> None:
    images = torch.zeros(10, 2, 2, 3, dtype=torch.uint8)
    pairs = [[index, index + 1] for index in range(0, 10, 2)]
    rest, part = split_off_each_class(Split(images, torch.zeros(10, dtype=torch.int64)), 0.1, 0, pairs)
    assert (len(rest), len(part)) == (8, 2)
