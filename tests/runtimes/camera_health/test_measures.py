"""What is measured of one image: more of a fault never measures as less, and odd images are measured, too."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from camera_scenes import blurred, noisy, textured

from allweather.runtimes.camera_health import measure
from allweather.runtimes.types import Image


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(150, 180), (240, 320), (720, 1280)])
def test_more_blur_never_measures_as_sharper(seed: int, size: tuple[int, int]) -> None:
    image = textured(seed, *size)
    values = [measure(blurred(image, deviation) if deviation else image).sharpness for deviation in (0, 1, 2, 3, 4, 6)]
    assert all(after < before for before, after in pairwise(values))
    assert values[0] > 0.35
    assert values[3] < 0.2


def test_sharpness_does_not_depend_on_contrast_light_or_a_little_noise() -> None:
    image, rng = blurred(textured(1), 1.0), np.random.default_rng(0)
    expected = measure(image).sharpness
    for other in (image // 2 + 60, image // 3, noisy(image, 3.0, rng)):
        assert measure(other).sharpness == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_more_noise_never_measures_as_less(seed: int) -> None:
    image, rng = textured(seed), np.random.default_rng(seed)
    values = [measure(noisy(image, deviation, rng)).noise for deviation in (0, 2, 5, 10, 20, 40)]
    assert all(after > before for before, after in pairwise(values))
    assert values[3] == pytest.approx(10, rel=0.3)


def test_texture_is_not_taken_for_noise_nor_a_flat_image_for_a_blurred_one() -> None:
    assert measure(textured(0)).noise < 2
    assert math.isnan(measure(np.full((240, 320, 3), 130, np.uint8)).sharpness)
    slope = np.repeat(np.linspace(60, 200, 320, dtype=np.uint8)[None, :, None], 240, 0).repeat(3, 2)
    assert math.isnan(measure(slope).sharpness)
    assert measure(slope).detail < 2


def test_less_light_never_measures_as_brighter() -> None:
    values = [measure(np.asarray(textured(0) * light, np.uint8)) for light in (1.0, 0.5, 0.2, 0.05, 0.0)]
    assert all(after.brightness < before.brightness for before, after in pairwise(values))
    assert all(after.detail < before.detail for before, after in pairwise(values))


ODD = {
    "one pixel": (1, 1), "a row": (1, 700), "a column": (700, 1), "tall": (3000, 20), "wide": (20, 3000),
    "two rows": (2, 1900), "as a CIFAR image": (32, 32),
}  # fmt: skip


@pytest.mark.parametrize("shape", ODD.values(), ids=ODD)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_odd_images_are_measured(shape: tuple[int, int], level: int) -> None:
    found = measure(np.full((*shape, 3), level, np.uint8))
    assert found.brightness == pytest.approx(level / 255, abs=0.01)
    assert found.overexposed == float(level == 255)
    assert found.detail < 1
    assert math.isnan(found.sharpness)


def test_the_image_is_not_changed_and_need_not_be_contiguous() -> None:
    image = textured(2, 400, 600)
    parts: list[Image] = [image[10:, 20:-3], image[:, ::-1], image[::-1], image[..., ::-1]]
    for part in parts:
        before = part.copy()
        part.setflags(write=False)
        found = measure(part)
        assert np.array_equal(part, before)
        assert found.sharpness == measure(np.ascontiguousarray(part)).sharpness


def test_a_large_image_is_measured_like_a_small_one() -> None:
    small = measure(textured(3))
    large = measure(np.asarray(cv2.resize(textured(3), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST), np.uint8))
    assert large.thumbnail.shape == small.thumbnail.shape
    assert large.brightness == pytest.approx(small.brightness, abs=0.02)
    assert large.sharpness == pytest.approx(0.5, abs=0.1)
