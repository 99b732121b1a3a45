"""Corruptions as an augmentation of training."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError
from allweather.trainers.augmentations.corrupted import CORRUPTED_AUGMIX
from allweather.trainers.augmentations.learned.augmentation import open_augmentation
from allweather.trainers.corruptions import COMMON, SEVERITIES, corrupt_images

NAMES = ("corruptions", "augmix+corruptions")
SMOOTH = torch.linspace(0.2, 0.8, 32).expand(32, 3, 32, 32).contiguous()


def augmented(name: str, images: Tensor, seed: int = 1) -> Tensor:
    """Both generators are seeded as the training loop does: its own, and torch's."""
    torch.manual_seed(seed)
    return open_augmentation(name)(images, 0, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(20, 3, 32, 32), (3, 3, 100, 130)])
def test_a_seed_gives_the_same_images_of_any_size(name: str, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    result = augmented(name, images)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1
    assert torch.equal(images, before)
    assert torch.equal(result, augmented(name, images))
    assert not torch.equal(result, augmented(name, images, 2))


def test_each_image_has_a_corruption_of_its_own() -> None:
    result = augmented("corruptions", SMOOTH)
    changed = (result - SMOOTH).abs().flatten(1).mean(1)
    assert float(changed.min()) > 0
    assert len(changed.unique()) > 25  # of 75 corruptions and severities, for 32 images, most of them random


def test_all_corruptions_and_severities_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int, int]] = []

    def count(images: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> np.ndarray:
        drawn.append((name, severity, len(images)))
        return images

    module = sys.modules["allweather.trainers.corruptions.sets.corrupted_copies"]  # the package has a function so named
    monkeypatch.setattr(module, "corrupt_images", count)
    augmented("corruptions", torch.rand(1500, 3, 16, 16))
    assert {(name, severity) for name, severity, _ in drawn} == {(n, s) for n in COMMON for s in SEVERITIES}
    assert sum(images for *_, images in drawn) == 1500  # none stays clean


def test_the_same_corruptions_as_those_of_the_test_sets() -> None:
    pixels = (SMOOTH[:1] * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    possible = [corrupt_images(pixels, name, each, np.random.default_rng(0)) for name in COMMON for each in SEVERITIES]
    deterministic = {each.tobytes() for each in possible}
    results = (augmented("corruptions", SMOOTH) * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    assert 4 < sum(each.tobytes() in deterministic for each in results) < 32  # the others have random numbers


def test_each_corruption_is_drawn_as_often_as_each_operation_of_augmix() -> None:
    weights = {each.apply.__name__: each.weight for each in CORRUPTED_AUGMIX.operations}
    assert weights["random_corruption"] / len(COMMON) == weights["equalize"] == weights["warp"] / 5


@pytest.mark.parametrize("name", NAMES)
def test_too_small_images(name: str) -> None:
    with pytest.raises(DataError, match="16 x 16 pixels or more; got 8 x 8"):
        augmented(name, torch.rand(64, 3, 8, 8))


def test_the_name_is_what_a_resumed_run_compares() -> None:
    assert open_augmentation("augmix+corruptions") is CORRUPTED_AUGMIX
    assert [open_augmentation(name).resume_key["strategy"] for name in NAMES] == list(NAMES)
