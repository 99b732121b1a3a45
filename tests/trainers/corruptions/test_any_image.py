"""One function corrupts arrays, PIL images and tensors in the same way, and gives back what it got."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.trainers.corruptions import CORRUPTIONS, corrupt_images
from allweather.trainers.corruptions.any_image import corrupt


def photos(count: int = 3, height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth random images, uint8 [n, h, w, 3]."""
    coarse = torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (255 * fine).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


PHOTOS = photos()
CHANNELS_FIRST = torch.from_numpy(PHOTOS).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_kind_of_image_gets_the_same_corruption(name: str) -> None:
    expected = corrupt_images(PHOTOS, name, 3, np.random.default_rng(7))
    one = corrupt_images(PHOTOS[0], name, 3, np.random.default_rng(7))
    np.testing.assert_array_equal(corrupt(PHOTOS, name, 3, seed=7), expected)
    np.testing.assert_array_equal(corrupt(PHOTOS[0], name, 3, seed=7), one)
    as_pillow = corrupt(Image.fromarray(PHOTOS[0]), name, severity=3, seed=7)
    assert isinstance(as_pillow, Image.Image)
    np.testing.assert_array_equal(np.asarray(as_pillow), one)
    as_uint8 = corrupt(CHANNELS_FIRST, name, 3, seed=7)
    np.testing.assert_array_equal(as_uint8.permute(0, 2, 3, 1).numpy(), expected)
    as_float = corrupt(CHANNELS_FIRST[0] / 255, corruption_name=name, severity=3, seed=7)
    np.testing.assert_array_equal((as_float * 255).round().permute(1, 2, 0).numpy().astype(np.uint8), one)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [True, False])
def test_type_and_layout_come_back_and_the_argument_stays(dtype: torch.dtype, batch: bool) -> None:
    given = CHANNELS_FIRST.clone() if dtype == torch.uint8 else (CHANNELS_FIRST.float() / 255).to(dtype)
    given = given if batch else given[0]
    before = given.clone()
    out = corrupt(given, "gaussian_noise", 5, seed=0)
    assert (out.dtype, out.shape, out.device) == (given.dtype, given.shape, given.device)
    assert out.is_contiguous()
    assert torch.equal(given, before)
    assert (out != before).any()
    assert 0 <= float(out.min()) <= float(out.max()) <= (255 if dtype == torch.uint8 else 1)


def test_gradients_do_not_go_through_and_do_no_harm() -> None:
    images = (CHANNELS_FIRST / 255).requires_grad_()
    assert not corrupt(images, "fog", 2).requires_grad


def test_the_seed_decides_and_without_one_torch_does() -> None:
    first, again = (corrupt(PHOTOS, "shot_noise", 3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != corrupt(PHOTOS, "shot_noise", 3, seed=6)).any()
    generator = np.random.default_rng(5)
    np.testing.assert_array_equal(first, corrupt(PHOTOS, "shot_noise", 3, seed=generator))
    assert (first != corrupt(PHOTOS, "shot_noise", 3, seed=generator)).any()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one, two = corrupt(PHOTOS, "shot_noise", 3), corrupt(PHOTOS, "shot_noise", 3)
        torch.manual_seed(1)
        np.testing.assert_array_equal(one, corrupt(PHOTOS, "shot_noise", 3))
    assert (one != two).any()


FLOATS = CHANNELS_FIRST / 255


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (FLOATS * 255, DataError, r"0\.\.1; got values from .* divide by 255"),
        ((FLOATS - 0.5) / 0.25, DataError, "undo the normalization"),
        (torch.full((3, 20, 20), float("nan")), DataError, "got values from nan"),
        (CHANNELS_FIRST.permute(0, 2, 3, 1), DataError, r"got \[3, 40, 56, 3\]: .*\.permute\(0, 3, 1, 2\)"),
        (CHANNELS_FIRST[0].permute(1, 2, 0), DataError, r"\.permute\(2, 0, 1\)"),
        (CHANNELS_FIRST[:, :1], DataError, r"repeat the gray channel: \.expand\(-1, 3, -1, -1\)"),
        (torch.zeros(4, 20, 20, dtype=torch.uint8), DataError, "drop the alpha channel"),
        (torch.zeros(20, 20), DataError, r"got \[20, 20\]: stack images"),
        (CHANNELS_FIRST[:0], DataError, "it is empty"),
        (CHANNELS_FIRST.to(torch.int64), DataError, "uint8, or float in 0..1; got int64"),
        (CHANNELS_FIRST[..., :10], DataError, "16 x 16 pixels or more; got 40 x 10"),
        (PHOTOS.transpose(0, 3, 1, 2), DataError, r"channels come last: np\.moveaxis"),
        (PHOTOS / 255, DataError, "got float64"),
        (Image.new("L", (20, 20)), DataError, r"mode L: image\.convert\('RGB'\)"),
        (Image.new("RGBA", (20, 20)), DataError, "mode RGBA"),
        ([PHOTOS[0]], DataError, "a numpy array, a PIL image or a torch tensor; got list"),
        ("photo.png", DataError, "got str"),
        (None, DataError, "got NoneType"),
    ],
)
def test_an_image_of_another_kind_is_refused_in_one_line(image: Any, kind: type[AllweatherError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        corrupt(image, "fog", 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fogg", 3), "fog"),
        ((3, "fog"), r"name of a corruption, such as 'fog', comes after the image.*got 3"),
        (("fog", 0), "whole number from 1 to 5; got 0"),
        (("fog", 6), "got 6"),
        (("fog", 2.5), "got 2.5"),
        (("fog", True), "got True"),
        (("fog", "3"), "got '3'"),
        (("fog", None), "got None"),
    ],
)
def test_a_name_or_severity_that_there_is_not(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        corrupt(PHOTOS, *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, np.random.RandomState(0)])
def test_a_seed_that_is_none(seed: Any) -> None:
    with pytest.raises(UsageError, match="a seed is a whole number, at least 0, or a numpy generator; got"):
        corrupt(PHOTOS, "fog", 3, seed=seed)
