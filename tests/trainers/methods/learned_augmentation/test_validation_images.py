"""The held-out images as each aim changes them."""

from __future__ import annotations

import pytest
import torch

from allweather.trainers.choices import AugmentationAim
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation.validation_images import validation_images


@pytest.mark.parametrize("aim", ["clean", "combined", "corrupted"])
def test_validation_images_of_each_aim(aim: AugmentationAim, dataset: Dataset) -> None:
    held_out = dataset.train.take(torch.arange(41))
    images = validation_images(held_out, aim, 0)
    assert images.shape == held_out.images.shape
    assert images.dtype == torch.uint8
    assert torch.equal(images, validation_images(held_out, aim, 0))
    changed = (images != held_out.images).flatten(1).any(1)
    assert not changed.any() if aim == "clean" else changed.float().mean() > 0.9
