"""Corruptions as an augmentation of training."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError
from allweather.trainers.augmentations.corrupted import CorruptedAugMix, _corrupted_augmix
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


def test_augmix_draws_its_own_operations_and_corruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []

    def count(images: Tensor, name: str, severity: int) -> Tensor:
        drawn.append((name, severity))
        return images

    monkeypatch.setattr("allweather.trainers.augmentations.corrupted.corrupt", count)
    own: list[str] = []
    parent: Callable[..., Tensor] = _corrupted_augmix().__mro__[1]._apply_image_or_video_transform  # type: ignore[attr-defined]

    def count_own(self: object, image: Tensor, transform_id: str, *args: object, **options: object) -> Tensor:
        own.append(transform_id)
        return parent(self, image, transform_id, *args, **options)

    monkeypatch.setattr(_corrupted_augmix().__mro__[1], "_apply_image_or_video_transform", count_own)
    for seed in range(10):
        augmented("augmix+corruptions", torch.rand(160, 3, 16, 16), seed)
    assert {name for name, _ in drawn} == set(COMMON)
    assert {severity for _, severity in drawn} == set(SEVERITIES)
    assert len(set(own)) == 13
    assert 0.45 < len(drawn) / (len(drawn) + len(own)) < 0.62  # 15 of 28


@pytest.mark.parametrize("name", NAMES)
def test_too_small_images(name: str) -> None:
    with pytest.raises(DataError, match="16 x 16 pixels or more; got 8 x 8"):
        augmented(name, torch.rand(64, 3, 8, 8))


def test_the_name_is_what_a_resumed_run_compares() -> None:
    assert open_augmentation("augmix+corruptions") == CorruptedAugMix()
    assert [open_augmentation(name).resume_key["strategy"] for name in NAMES] == list(NAMES)
