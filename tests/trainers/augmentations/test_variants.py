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


def pictures(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_names_are_read_and_written_alike(names: list[str]) -> None:
    assert [variant.name for variant in parse_variants(",".join(names))] == names


@pytest.mark.parametrize("text", ["", "r", "p", "rx", "rhp", "rpp", "rp,,rg", "rp rg", "RP"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="variants are names such as rh, rp, rg"):
        parse_variants(text)


@settings(deadline=None)  # torchvision takes its time to be imported
@given(factors=st.tuples(*[st.floats(0.5, 1.5)] * 3))
def test_jitter_is_torchvisions(factors: tuple[float, float, float]) -> None:
    functional = import_torchvision("transforms.v2.functional")
    each = [torch.full((5, 1, 1, 1), factor) for factor in factors]
    wanted = pictures()
    for name, factor in zip(("brightness", "contrast", "saturation"), factors, strict=True):
        wanted = getattr(functional, f"adjust_{name}")(wanted, factor)
    torch.testing.assert_close(adjust_color(pictures(), *each), wanted, atol=2e-4, rtol=0)


def test_gray_is_torchvisions() -> None:
    wanted = import_torchvision("transforms.v2.functional").rgb_to_grayscale(pictures(), num_output_channels=3)
    torch.testing.assert_close(grayscale(pictures()), wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_stay_pictures_and_a_seed_repeats_them(name: str) -> None:
    (variant,) = parse_variants(name)
    made = variant(pictures(), rng())
    assert made.shape == pictures().shape
    assert 0 <= made.min() <= made.max() <= 1
    torch.testing.assert_close(made, variant(pictures(), rng()))


def test_a_crop_leaves_the_colors_to_others() -> None:
    assert Variant() == CROP
    torch.testing.assert_close(CROP(pictures(), rng()), pictures())


def test_a_tenth_loses_its_color() -> None:
    made = Variant(gray=True)(torch.rand(4000, 3, 1, 1, generator=rng(2)), rng())
    gray = (made[:, 0] - made[:, 1]).abs().flatten() < 1e-6
    assert 0.07 < gray.float().mean() < 0.13


def test_each_picture_jitters_on_its_own_and_by_a_tenth_at_most() -> None:
    flat = torch.full((500, 3, 4, 4), 0.5)
    made = Variant(color=True)(flat, rng())[:, 0, 0, 0]
    assert 0.45 - 1e-6 <= made.min() < 0.46
    assert 0.54 < made.max() <= 0.55 + 1e-6
    assert len(made.unique()) > 400
