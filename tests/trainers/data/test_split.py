"""Images are divided at random: each class in its share, no image twice, no copy on two sides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.errors import DataError
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.division import split_off, split_off_each_class
from allweather.trainers.data.split import Split


def test_splitting_off_divides_and_keeps_the_order(dataset: Dataset) -> None:
    rest, part = split_off(dataset.train, 20, 5)
    assert (len(rest), len(part)) == (100, 20)
    together = {image.numpy().tobytes() for split in (rest, part) for image in split.images}
    assert together == {image.numpy().tobytes() for image in dataset.train.images}
    assert torch.equal(rest.labels, rest.labels.sort().values)  # as in the folder, class by class
    for count in (0, 120, 121):
        with pytest.raises(DataError, match=f"hold out {count} of 120 images"):
            split_off(dataset.train, count, 5)


def test_each_class_is_held_out_in_its_share() -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate((200, 25, 6, 2, 1))])
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3).contiguous()
    rest, part = split_off_each_class(Split(images, labels), [0.1], 5)
    assert part.labels.bincount(minlength=5).tolist() == [20, 2, 1, 1, 0]
    assert len(rest) + len(part) == len(labels)
    again = split_off_each_class(Split(images, labels), [0.1], 5)[1]
    assert torch.equal(again.images, part.images)
    with pytest.raises(DataError, match="no class has two"):
        split_off_each_class(Split(images[:2], torch.tensor([0, 1])), [0.1], 5)


@given(
    labels=st.lists(st.integers(0, 2), min_size=4, max_size=40),
    groups=st.lists(st.integers(0, 12), min_size=40, max_size=40),
    seed=st.integers(0, 9),
)
@pytest.mark.slow
def test_copies_of_one_image_are_never_on_both_sides(labels: list[int], groups: list[int], seed: int) -> None:
    copies = [[i for i in range(len(labels)) if groups[i] == group] for group in range(10)]
    copies = [group for group in copies if len(group) > 1]
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    split = Split(images, torch.tensor(labels))
    try:
        parts = split_off_each_class(split, [0.2, 0.1], seed, copies)
    except DataError:  # all images of each class are copies of one another, or have copies in other classes
        return
    where = [set(part.images[:, 0, 0, 0].tolist()) for part in parts]
    assert sorted(index for found in where for index in found) == list(range(len(labels)))
    assert all(len(found & set(group)) in (0, len(group)) for group in copies for found in where)
    assert set(parts[0].labels.tolist()) == set(labels)
    assert torch.equal(parts[1].images, split_off_each_class(split, [0.2], seed, copies)[1].images)


def test_a_class_of_pairs_is_held_out_as_pairs() -> None:
    images = torch.zeros(10, 2, 2, 3, dtype=torch.uint8)
    pairs = [[index, index + 1] for index in range(0, 10, 2)]
    rest, part = split_off_each_class(Split(images, torch.zeros(10, dtype=torch.int64)), [0.1], 0, pairs)
    assert (len(rest), len(part)) == (8, 2)


@pytest.mark.parametrize(("count", "expected"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (30, [24, 3, 3])])
def test_thin_classes_are_learned_from_first_then_in_val_then_in_test(count: int, expected: list[int]) -> None:
    labels = torch.cat([torch.zeros(count, dtype=torch.int64), torch.ones(40, dtype=torch.int64)])
    split = Split(torch.zeros(len(labels), 2, 2, 3, dtype=torch.uint8), labels)
    assert [int((part.labels == 0).sum()) for part in split_off_each_class(split, [0.1, 0.1], 3)] == expected
