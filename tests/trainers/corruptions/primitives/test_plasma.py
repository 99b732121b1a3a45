from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.trainers.corruptions.primitives.plasma import plasma_fractal, plasma_side


def uniform_noise(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, side, side)).astype(np.float32)


@given(st.integers(16, 3000), st.integers(16, 3000))
def test_the_side_is_the_smallest_power_of_two_that_covers(height: int, width: int) -> None:
    side = plasma_side(height, width)
    assert side & (side - 1) == 0
    assert side // 2 < max(height, width) <= side


@pytest.mark.parametrize("side", [16, 32, 256])
@pytest.mark.parametrize("decay", [1.4, 1.75, 3])
def test_each_cloud_goes_from_zero_to_one(side: int, decay: float) -> None:
    clouds = plasma_fractal(uniform_noise(4, side), decay)
    assert clouds.shape == (4, side, side)
    assert clouds.dtype == np.float32
    assert (clouds.min(axis=(1, 2)) == 0).all()
    assert (clouds.max(axis=(1, 2)) == 1).all()


def roughness(clouds: np.ndarray) -> float:
    """Mean difference of neighbors relative to the standard deviation of the whole."""
    return float(np.abs(np.diff(clouds, axis=2)).mean() / clouds.std())


def test_the_faster_the_noise_shrinks_the_smoother_the_cloud() -> None:
    rough = [roughness(plasma_fractal(uniform_noise(8, 64), decay)) for decay in (1.2, 1.5, 2, 3)]
    assert rough == sorted(rough, reverse=True)


@pytest.mark.parametrize("decay", [1.75, 3])
def test_coarse_noise_changes_a_cloud_more_than_fine_noise(decay: float) -> None:
    first = uniform_noise(8, 32)
    fine, coarse = first.copy(), first.copy()
    fine[:, 1::2, 1::2] *= -1
    coarse[:, ::8, ::8] *= -1
    cloud, little, much = (plasma_fractal(each, decay) for each in (first, fine, coarse))
    assert np.abs(little - cloud).mean() < np.abs(much - cloud).mean()


def test_a_cloud_continues_beyond_its_edges() -> None:
    """The last row is as similar to the first as neighboring rows are."""
    clouds = plasma_fractal(uniform_noise(64, 64), 2)
    inside = np.abs(np.diff(clouds, axis=1)).mean()
    across = np.abs(clouds[:, 0] - clouds[:, -1]).mean()
    assert across < 1.3 * inside


def test_a_cloud_does_not_depend_on_its_batch() -> None:
    noise = uniform_noise(5, 32)
    whole = plasma_fractal(noise, 2)
    for index in range(5):
        np.testing.assert_array_equal(whole[index], plasma_fractal(noise[index : index + 1], 2)[0])
