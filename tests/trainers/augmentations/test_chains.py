"""Chains of operations: AugMix, PRIME, and both with the photometric augmentations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from allweather.trainers.augmentations import augmix, prime
from allweather.trainers.augmentations.chains import ChainMixture, Operation
from allweather.trainers.augmentations.mixed_chains import ROBUST_AUGMENTATIONS
from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.data.batches import to_float, to_uint8

OPERATIONS = (*augmix.AUGMIX_OPERATIONS, *prime.PRIME_OPERATIONS)
every_augmentation = pytest.mark.parametrize("augmentation", ROBUST_AUGMENTATIONS.values(), ids=ROBUST_AUGMENTATIONS)
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.apply.__name__)


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=rng(0))


@every_augmentation
@pytest.mark.parametrize("shape", [(40, 3, 32, 32), (1, 3, 32, 32), (2, 3, 9, 130), (3, 3, 224, 160)])
def test_a_seed_gives_the_same_images_of_any_size(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    images = random_images(*shape).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    once, again, other = (augmentation(images, 0, rng(seed)) for seed in (1, 1, 2))
    assert once.shape == images.shape
    assert once.dtype == images.dtype
    assert 0 <= float(once.min()) <= float(once.max()) <= 1
    assert torch.equal(images, before)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@every_augmentation
def test_a_step_in_half_precision_does_not_round_the_images(augmentation: Augmentation) -> None:
    images = random_images(24, 3, 32, 32)
    expected = augmentation(images, 0, rng())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augmentation(images, 0, rng()), expected)


@every_augmentation
def test_each_image_has_draws_of_its_own(augmentation: Augmentation) -> None:
    results = augmentation(random_images(1, 3, 32, 32).repeat(40, 1, 1, 1), 0, rng())
    assert len(results.flatten(1).unique(dim=0)) == 40


@every_operation
def test_no_image_sees_another_one(operation: Operation) -> None:
    images = random_images(7, 3, 20, 20)
    alone = torch.zeros_like(images)
    alone[4] = images[4]
    assert torch.allclose(operation.apply(images, rng())[4], operation.apply(alone, rng())[4], atol=1e-5)


@every_operation
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_extreme_images_stay_finite(operation: Operation, value: float) -> None:
    result = operation.apply(torch.full((5, 3, 16, 16), value), rng())
    assert torch.isfinite(result).all()
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_lengths_and_operations_are_dealt_out_evenly() -> None:
    counts = {"one": 0, "two": 0}

    def count(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
        def apply(images: Tensor, rng: torch.Generator) -> Tensor:
            counts[name] += len(images)
            return images

        return apply

    mixture = ChainMixture("counted", (Operation(count("one")), Operation(count("two"), weight=3)))
    images = random_images(40, 3, 4, 4)
    assert torch.allclose(mixture(images, 0, rng()), images, atol=1e-6)  # weights sum to 1
    assert counts == {"one": 60, "two": 180}  # 120 chains of 2 operations on average


def test_a_chain_has_up_to_three_operations_and_the_clean_image_a_uniform_share() -> None:
    tenth = ChainMixture("tenth", (Operation(lambda images, rng: images + 0.1),))
    added = 10 * tenth(torch.zeros(30000, 3, 1, 1), 0, rng())[:, 0, 0, 0]
    assert float(added.max()) < 3
    assert float(added.mean()) == pytest.approx(1, abs=0.02)  # half of chains of 1, 2 or 3
    assert 0.25 < float((added < 0.5).float().mean()) < 0.3  # P(share x about 2 < 0.5)


def test_operations_of_augmix_are_those_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmix, "LEAST_STRENGTH", 0.0)
    monkeypatch.setattr(augmix, "GREATEST_STRENGTH", 0.0)
    pixels = torch.randint(30, 200, (4, 32, 32, 3), generator=rng(0), dtype=torch.uint8)
    pillow = {
        augmix.autocontrast: ImageOps.autocontrast,
        augmix.equalize: ImageOps.equalize,
        augmix.posterize: lambda image: ImageOps.posterize(image, 4),
    }
    for operation, theirs in pillow.items():
        ours = to_uint8(operation(to_float(pixels), rng()))
        expected = np.stack([np.asarray(theirs(Image.fromarray(each.numpy()))) for each in pixels])
        assert np.abs(ours.astype(int) - expected).max() <= 1, operation
    assert torch.allclose(augmix.warp(to_float(pixels), rng()), to_float(pixels), atol=1e-4)


@pytest.mark.slow
def test_warps_of_augmix_turn_shear_and_shift_up_to_their_limits() -> None:
    ramp = torch.linspace(0, 1, 64).expand(2000, 3, 64, 64)  # grows along x
    result = augmix.warp(ramp, rng())
    changed = (result - ramp).abs().flatten(1).amax(1) > 1e-3
    assert 0.75 < float(changed.float().mean()) <= 1  # but for its border, a shift along y leaves the ramp as it is
    center = (result - ramp)[:, 0, 31:33, 31:33].mean((1, 2)).abs()
    assert 0.09 < float(center.max()) <= 0.102  # 0.3 of a third of the side
    assert 0.7 < float((center < 1e-3).float().mean()) < 0.9  # all but shifts along x keep the center


def test_a_random_filter_is_an_identity_plus_normal_coefficients() -> None:
    impulse = torch.zeros(4000, 3, 9, 9)
    impulse[:, :, 4, 4] = 1e-3  # so small that the result is not clipped from above
    kernels = 1e3 * prime.random_filter(impulse, rng())[:, 0, 3:6, 3:6]
    around, middle = kernels[:, 0, 0], kernels[:, 1, 1]
    assert 0.45 < float((around > 0).float().mean()) < 0.55
    assert float((around**2).mean()) == pytest.approx(16 / 3 / 2, rel=0.1)  # half of them are clipped to 0
    assert float((middle - 1)[middle > 2].mean()) > float(around[around > 1].mean()) * 0.8


def test_a_color_curve_keeps_black_and_white_and_is_one_for_a_channel() -> None:
    image = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).expand(50, 3, 8, 8).clone()
    image[:, :, 0, 1] = image[:, :, 5, 5]
    result = prime.random_color(image, rng())
    assert torch.allclose(result[:, :, 0, 0], torch.zeros(50, 3), atol=1e-4)
    assert torch.allclose(result[:, :, 7, 7], torch.ones(50, 3), atol=1e-4)
    assert torch.equal(result[:, :, 0, 1], result[:, :, 5, 5])
    assert len(result[:, :, 4, 4].unique()) > 100  # other curves for other channels and images


@pytest.mark.parametrize("size", [(32, 32), (48, 96)])
def test_a_random_warp_keeps_the_border_and_moves_the_middle(size: tuple[int, int]) -> None:
    height, width = size
    column = torch.arange(width) / (width - 1)
    images = column.expand(400, 3, height, width).contiguous()
    moved = (prime.random_warp(images, rng()) - images) * (width - 1)  # in pixels
    assert float(moved[:, :, :, [0, -1]].abs().max()) < 1e-3
    middle = moved[:, 0, height // 2, width // 2]
    assert 0.3 < float(middle.abs().median()) < width / 8
    assert len(middle.unique()) > 390
