"""Which images a loss predictor learns on, and which are left for choosing a policy."""

from __future__ import annotations

import pytest
import torch

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset, RowDataset, Split
from allweather.trainers.methods.loss_predictor.held_back import policy_images, predictor_images


def numbered(count: int) -> Split:
    """Images whose label is their number."""
    return Split(torch.zeros(count, 16, 16, 3, dtype=torch.uint8), torch.arange(count))


def with_splits(train: int, val: int) -> Dataset:
    return RowDataset("rows", ("a", "b"), numbered(train), numbered(val), numbered(1), hflip=False)


def test_policies_are_compared_on_images_that_no_predictor_has_learned_on() -> None:
    data = with_splits(12000, 2000)
    images, settings = predictor_images(data, CopySettings(copies=2, seed=7))
    left = policy_images(data.val, has_predictor=True)
    learned, judged = set(images.labels.tolist()), set(left.labels.tolist())
    assert not learned & judged
    assert learned | judged == set(range(2000))
    assert len(judged) == 400
    assert settings == CopySettings(copies=15, seed=7)  # 1600 x 15 is 12000 x 2
    assert policy_images(data.val, has_predictor=False) is data.val


@pytest.mark.parametrize(("train", "copies"), [(100, 2), (3000, 8), (100_000, 16)])
def test_held_back_images_have_more_copies_within_limits(train: int, copies: int) -> None:
    _, settings = predictor_images(with_splits(train, 1000), CopySettings(copies=2), wanted=True)
    assert settings.copies == copies


def test_a_small_val_split_is_left_to_the_policies() -> None:
    data = with_splits(3000, 999)
    assert predictor_images(data, CopySettings()) == (data.train, CopySettings())
    assert policy_images(data.val, has_predictor=True) is data.val
    with pytest.raises(UsageError, match=r"1000 or more; it has 999.*--no-held-back"):
        predictor_images(data, CopySettings(), wanted=True)


def test_training_images_on_request() -> None:
    data = with_splits(3000, 2000)
    assert predictor_images(data, CopySettings(), wanted=False) == (data.train, CopySettings())
