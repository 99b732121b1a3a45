"""The held-out images as each aim changes them."""

from __future__ import annotations

import pytest
import torch

from allweather.trainers.choices import AugmentationAim
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation import validation_images as module
from allweather.trainers.methods.learned_augmentation.validation_images import validation_images


@pytest.mark.parametrize("aim", ["clean", "combined", "corrupted"])
def test_validation_images_of_each_aim(aim: AugmentationAim, dataset: Dataset) -> None:
    held_out = dataset.train.take(torch.arange(41))
    before = held_out.loaded().images.clone()
    aimed_at = validation_images(held_out, aim, 0).loaded()
    assert torch.equal(held_out.loaded().images, before)
    assert torch.equal(aimed_at.labels, held_out.labels)
    assert torch.equal(aimed_at.images, validation_images(held_out, aim, 0).loaded().images)
    changed = (aimed_at.images != before).flatten(1).any(1)
    assert not changed.any() if aim == "clean" else changed.float().mean() > 0.9


def test_corruptions_do_not_depend_on_how_many_are_made_at_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = dataset.train.take(torch.arange(41))
    at_once = validation_images(held_out, "corrupted", 0).loaded()
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    assert torch.equal(validation_images(held_out, "corrupted", 0).loaded().images, at_once.images)
