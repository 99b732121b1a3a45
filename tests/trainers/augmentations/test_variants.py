from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.variants import CROP, Variant, adjust_color, grayscale, parse_variants
from allweather.trainers.torchvision_import import import_torchvision

NAMES = ("rh", "rp", "rg", "rc", "rpg", "rpc", "rgc", "rpgc")


def some_images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
@pytest.mark.slow
def test_names_are_parsed_and_written_alike(names: list[str]) -> None:
    assert [variant.name for variant in parse_variants(",".join(names))] == names


@pytest.mark.parametrize("text", ["", "r", "p", "rx", "rhp", "rpp", "rp,,rg", "rp rg", "RP"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names such as rh, rp, rg"):
        parse_variants(text)


@settings(deadline=None)  # importing torchvision takes long
@given(factors=st.tuples(*[st.floats(0.5, 1.5)] * 3))
def test_color_adjustment_agrees_with_torchvision(factors: tuple[float, float, float]) -> None:
    functional = import_torchvision("transforms.v2.functional")
    each = [torch.full((5, 1, 1, 1), factor) for factor in factors]
    expected = some_images()
    for name, factor in zip(("brightness", "contrast", "saturation"), factors, strict=True):
        expected = getattr(functional, f"adjust_{name}")(expected, factor)
    torch.testing.assert_close(adjust_color(some_images(), *each), expected, atol=2e-4, rtol=0)


def test_grayscale_agrees_with_torchvision() -> None:
    expected = import_torchvision("transforms.v2.functional").rgb_to_grayscale(some_images(), num_output_channels=3)
    torch.testing.assert_close(grayscale(some_images()), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_range_and_a_seed_repeats_them(name: str) -> None:
    (variant,) = parse_variants(name)
    augmented = variant(some_images(), rng())
    assert augmented.shape == some_images().shape
    assert 0 <= augmented.min() <= augmented.max() <= 1
    torch.testing.assert_close(augmented, variant(some_images(), rng()))


def test_the_crop_variant_changes_no_color() -> None:
    assert Variant() == CROP
    torch.testing.assert_close(CROP(some_images(), rng()), some_images())


def test_a_tenth_of_the_images_loses_its_color() -> None:
    augmented = Variant(gray=True)(torch.rand(4000, 3, 1, 1, generator=rng(2)), rng())
    gray = (augmented[:, 0] - augmented[:, 1]).abs().flatten() < 1e-6
    assert 0.07 < gray.float().mean() < 0.13


def test_each_image_is_jittered_on_its_own_by_at_most_a_tenth() -> None:
    flat = torch.full((500, 3, 4, 4), 0.5)
    augmented = Variant(color=True)(flat, rng())[:, 0, 0, 0]
    assert 0.45 - 1e-6 <= augmented.min() < 0.46
    assert 0.54 < augmented.max() <= 0.55 + 1e-6
    assert len(augmented.unique()) > 400
