"""The views on tensors are those of the device, pixel for pixel on the CPU and to one gray level in torch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.tta.views import (
    CLASSIC_VIEWS,
    FURTHER_VIEWS,
    VIEWS,
    View,
    register_view,
    unregister_view,
    view,
)
from allweather.runtimes.types import Image
from allweather.trainers.data.signs.dataset import render_signs
from allweather.trainers.tta.tensor_views import TENSOR_VIEWS, apply_view

NAMES = (*VIEWS, *FURTHER_VIEWS, *CLASSIC_VIEWS, "zoom1.2/hflip", "hflip/crop-top-left/color2")
MAX_LEVELS = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 6  # OpenCV 4 rounds positions to 1/32 of a pixel


@pytest.fixture(scope="module")
def photos() -> Image:
    """Signs, noise, a flat image and one whose colors span part of the range: uint8 [n, 24, 40, 3]."""
    signs = render_signs("test", size=40, count=6)[0][:, 8:32]
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 24, 40, 3), np.uint8)
    narrow = rng.integers(60, 180, (2, 24, 40, 3), np.uint8)
    return np.concatenate([np.asarray(signs, np.uint8), noise, narrow, np.full((1, 24, 40, 3), 93, np.uint8)])


def channels_first(images: Image) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_on_the_cpu_a_view_is_the_view_of_the_device(photos: Image, name: str) -> None:
    expected = np.stack([view(name).apply(image) for image in photos])
    given = channels_first(photos)
    before = given.clone()
    out = apply_view(given, name)
    assert out.dtype == torch.uint8
    np.testing.assert_array_equal(out.permute(0, 2, 3, 1).numpy(), expected)
    as_floats = apply_view(given / 255, name)
    np.testing.assert_array_equal((as_floats * 255).round().permute(0, 2, 3, 1).numpy(), expected)
    np.testing.assert_array_equal(apply_view(given[0], name).permute(1, 2, 0).numpy(), expected[0])
    assert torch.equal(given, before)


@pytest.mark.parametrize("name", TENSOR_VIEWS)
def test_in_torch_a_view_differs_by_one_gray_level_at_most(photos: Image, name: str) -> None:
    """The function that runs on a GPU, run here on the CPU."""
    expected = np.stack([view(name).apply(image) for image in photos]).astype(np.int64)
    out = (TENSOR_VIEWS[name](channels_first(photos) / 255) * 255).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(out, out.round(), atol=1e-4)
    difference = np.abs(out.round().astype(np.int64) - expected)
    moved = name.startswith(("rotate", "zoom"))
    assert difference.max() <= (MAX_LEVELS if moved else 1)
    assert (difference > 0).mean() <= (0.15 if name.startswith("crop") else 0.8 if moved and MAX_LEVELS > 1 else 0.06)


def test_views_that_change_no_value_do_not_round() -> None:
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(apply_view(images, "identity"), images)
    assert torch.equal(apply_view(images, "hflip"), images.flip(3))
    assert apply_view(images.half(), "zoom1.2").dtype == torch.float16


def test_a_view_of_one_s_own_runs_on_tensors_too(photos: Image) -> None:
    register_view(View("negative", lambda image: 255 - image))
    try:
        out = apply_view(channels_first(photos), "negative/hflip")
        np.testing.assert_array_equal(out.permute(0, 2, 3, 1).numpy(), 255 - photos[:, :, ::-1])
    finally:
        unregister_view("negative")


def test_unknown_views_and_images_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"zoom1\.2"):
        apply_view(torch.zeros(1, 3, 20, 20), "zoom1.3")
    with pytest.raises(DataError, match="undo the normalization"):
        apply_view(torch.full((1, 3, 20, 20), -2.0), "hflip")
