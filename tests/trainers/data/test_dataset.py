from __future__ import annotations

import pytest
import torch

from allweather.runtimes.errors import DataError, UsageError
from allweather.trainers.data.dataset import Dataset, check_fraction, check_label_noise, split_off


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
