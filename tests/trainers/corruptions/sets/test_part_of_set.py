"""A part of a corrupted set: the same images as in the whole, fewer of them."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions.sets import GeneratedSet, part_of_set
from allweather.trainers.data.dataset import Dataset

NAMES = ("fog", "contrast", "jpeg_compression")


def test_a_part_has_the_images_of_the_whole(dataset: Dataset) -> None:
    whole = GeneratedSet(dataset.test, 3, NAMES)
    count = len(whole.labels) // 2
    part = part_of_set(whole, ["contrast", "fog", "contrast"], count, seed=5)
    assert part.corruptions == ("contrast", "fog")
    assert (part.source, part.data) == (whole.source, whole.data)
    few = dataset.with_test_images(count, 5)
    assert part.labels.tolist() == few.test.labels.tolist()
    images = np.concatenate(list(part.batches("fog", 2, 3)))
    assert len(images) == count
    whole_images = np.concatenate(list(whole.batches("fog", 2, 64)))
    for index, image in enumerate(images):
        assert np.array_equal(image, part.image("fog", 2, index))
        assert any(np.array_equal(image, each) for each in whole_images)


def test_some_corruptions_of_all_images(dataset: Dataset) -> None:
    whole = GeneratedSet(dataset.test, 3, NAMES)
    part = part_of_set(whole, ["fog"], 10_000)
    assert np.array_equal(part.labels, whole.labels)
    pairs = zip(part.batches("fog", 1, 7), whole.batches("fog", 1, 7), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_nothing_left_out_is_the_set_itself(dataset: Dataset) -> None:
    whole = GeneratedSet(dataset.test, 3, NAMES)
    assert part_of_set(whole) is whole
    assert part_of_set(whole, NAMES, len(whole.labels)) is whole


def test_what_the_set_does_not_have_is_refused(dataset: Dataset) -> None:
    whole = GeneratedSet(dataset.test, 3, NAMES)
    with pytest.raises(UsageError, match="has no snow; it has fog, contrast, jpeg_compression"):
        part_of_set(whole, ["snow", "fog"])
    with pytest.raises(UsageError, match="did you mean contrast"):
        part_of_set(whole, ["contrst"])


def test_test_images_are_drawn_by_the_seed(dataset: Dataset) -> None:
    few = dataset.with_test_images(4, 0)
    assert (len(few.test), len(few.train)) == (4, len(dataset.train))
    assert f"a part of the test images, 4 of {len(dataset.test)}, drawn with seed 0" in few.notes[-1]
    assert few.test.digest() == dataset.with_test_images(4, 0).test.digest()
    assert few.test.digest() != dataset.with_test_images(4, 1).test.digest()
    assert dataset.with_test_images(10_000, 0).notes == dataset.notes
    with pytest.raises(UsageError, match="at least 1; got 0"):
        dataset.with_test_images(0, 0)
    with pytest.raises(UsageError, match=r"at least 1; got 2\.5"):
        dataset.with_test_images(2.5, 0)  # type: ignore[arg-type] # of a program without types
    with pytest.raises(UsageError, match="seed is a whole number from 0 to"):
        dataset.with_test_images(2, 2**64)
