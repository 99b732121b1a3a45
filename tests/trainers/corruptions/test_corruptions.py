"""Properties of every corruption, for any image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.types import Image
from allweather.trainers.corruptions import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES, random_uint16
from allweather.trainers.corruptions.sets.random_streams import image_rngs
from allweather.trainers.corruptions.spatter import Drops, spatter

SIZES = ((16, 16), (32, 32), (47, 33), (96, 128), (224, 224))
DETERMINISTIC = {
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
}
GROWING = (  # those that change an image more at each severity; the parameters of the others do not always grow
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "defocus_blur",
    "zoom_blur",
    "fog",
    "contrast",
    "brightness",
    "jpeg_compression",
    "pixelate",
    "gaussian_blur",
)


def smooth_images(count: int, height: int, width: int) -> Image:
    """Smooth colors with a little noise, as photographs have, in the middle of the range."""
    rng = np.random.default_rng(7)
    rows, columns = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 4, width)[None, :, None]
    waves = np.sin(rows + columns * rng.uniform(0.5, 2, (count, 1, 1, 3)) + rng.uniform(0, 6, (count, 1, 1, 3)))
    return (120 + 60 * waves + rng.normal(0, 12, (count, height, width, 3))).clip(0, 255).astype(np.uint8)


def corrupted(images: Image, name: str, severity: int, *, seed: int = 0, first: int = 0) -> Image:
    return CORRUPTIONS[name](images, severity, image_rngs(seed, name, severity, first, len(images)))


@pytest.mark.slow
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_result_has_the_shape_of_the_images(name: str, severity: int) -> None:
    for height, width in SIZES:
        images = smooth_images(2, height, width)
        before = images.copy()
        out = corrupted(images, name, severity)
        assert out.shape == images.shape, f"{height} x {width}"
        assert out.dtype == np.uint8
        assert not np.shares_memory(out, images)
        np.testing.assert_array_equal(images, before, "the images that were passed in have changed")
        assert (out != images).any(), f"{height} x {width}: nothing changed"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_randomness_comes_from_the_seed_alone(name: str) -> None:
    images = smooth_images(3, 40, 33)
    for severity in SEVERITIES:
        once = corrupted(images, name, severity, seed=1)
        np.testing.assert_array_equal(once, corrupted(images, name, severity, seed=1))
        same = np.array_equal(once, corrupted(images, name, severity, seed=2))
        assert same == (name in DETERMINISTIC), f"{name} {severity} {'ignores' if same else 'depends on'} the seed"


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(cut=st.integers(1, 6), severity=st.sampled_from(SEVERITIES), large=st.booleans())
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_result_does_not_depend_on_the_batches(name: str, cut: int, severity: int, large: bool) -> None:
    images = smooth_images(7, *((97, 96) if large else (32, 35)))
    whole = corrupted(images, name, severity, first=10)
    parts = [corrupted(images[:cut], name, severity, first=10), corrupted(images[cut:], name, severity, first=10 + cut)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole[cut], corrupted(images[cut : cut + 1], name, severity, first=10 + cut)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("side", [32, 112])
def test_severities_grow(name: str, side: int) -> None:
    images = smooth_images(24, side, side)
    change = [float(np.abs(corrupted(images, name, severity).astype(int) - images).mean()) for severity in SEVERITIES]
    assert change == sorted(change), f"{name} at {side} px: mean change {np.round(change, 3)} of 255"
    assert change[0] < change[-1]


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("level", [0, 1, 128, 255])
@pytest.mark.parametrize("side", [17, 100])
def test_constant_images_raise_no_warning(name: str, level: int, side: int) -> None:
    """Nothing is divided by zero: warnings are errors in the tests."""
    images = np.full((2, side, side, 3), level, np.uint8)
    for severity in SEVERITIES:
        out = corrupted(images, name, severity)
        assert out.shape == images.shape
        assert out.dtype == np.uint8


@pytest.mark.parametrize("name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"])
@pytest.mark.parametrize("side", [16, 120])
def test_blur_does_not_change_a_constant_image(name: str, side: int) -> None:
    images = np.full((2, side, side, 3), 90, np.uint8)
    for severity in SEVERITIES:
        assert np.abs(corrupted(images, name, severity).astype(int) - images).max() <= 1


@settings(max_examples=6, deadline=None)
@given(side=st.sampled_from((16, 20, 27, 48)), level=st.integers(0, 255))
@pytest.mark.slow
def test_a_zoom_does_not_depend_on_the_batch_size(side: int, level: int) -> None:
    """One matrix product for a whole batch would: BLAS sums in another order when there are few columns."""
    images = np.concatenate([smooth_images(70, side, side), np.full((1, side, side, 3), level, np.uint8)])
    whole = corrupted(images, "zoom_blur", 4)
    for index in (0, 35, 70):
        np.testing.assert_array_equal(whole[index], corrupted(images[index : index + 1], "zoom_blur", 4)[0])


def test_images_need_not_be_contiguous() -> None:
    images = smooth_images(4, 36, 34)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    for strided in (
        images[::2, ::-1, ::-1],
        images.transpose(0, 2, 1, 3),
        images[..., ::-1],
        planes.transpose(0, 2, 3, 1),
    ):
        for name in CORRUPTIONS:
            expected = corrupted(np.ascontiguousarray(strided), name, 3)
            np.testing.assert_array_equal(corrupted(strided, name, 3), expected, f"{name} depends on the memory layout")


@pytest.mark.parametrize("liquid", ["water", "mud"])
def test_spatter_without_a_drop_does_not_change_the_image(liquid: str) -> None:
    images = smooth_images(2, 32, 32)
    drops = Drops(0.5, 0.01, 1.0, 0.9, 0.6, liquid)  # the threshold is 40 standard deviations away
    layers = np.random.default_rng(0).standard_normal((2, 32, 32), np.float32)
    np.testing.assert_array_equal(spatter(images, layers, drops), images)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.SFC64, np.random.Philox])
def test_random_integers_are_uniform_for_every_generator(kind: type[np.random.BitGenerator]) -> None:
    """MT19937 has words of 32 bits, so that the upper halves of its 64-bit words would be zeros."""
    values = random_uint16(np.random.Generator(kind(4)), 100, 401)
    assert values.shape == (100, 401)
    counts = np.bincount(values.ravel() >> 13, minlength=8)
    assert np.abs(counts / values.size - 1 / 8).max() < 0.01
    four = values.ravel()[:40_000].reshape(-1, 4).astype(float)
    assert np.abs(np.corrcoef(four.T) - np.eye(4)).max() < 0.05
