from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.trainers.corruptions.primitives.plasma import plasma, plasma_side


def wobbles(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, side, side)).astype(np.float32)


@given(st.integers(16, 3000), st.integers(16, 3000))
def test_the_side_is_the_smallest_power_of_two_that_covers(height: int, width: int) -> None:
    side = plasma_side(height, width)
    assert side & (side - 1) == 0
    assert side // 2 < max(height, width) <= side


@pytest.mark.parametrize("side", [16, 32, 256])
@pytest.mark.parametrize("decay", [1.4, 1.75, 3])
def test_each_cloud_goes_from_zero_to_one(side: int, decay: float) -> None:
    clouds = plasma(wobbles(4, side), decay)
    assert clouds.shape == (4, side, side)
    assert clouds.dtype == np.float32
    assert (clouds.min(axis=(1, 2)) == 0).all()
    assert (clouds.max(axis=(1, 2)) == 1).all()


def roughness(clouds: np.ndarray) -> float:
    """Neighbours' distance beside the whole's deviation."""
    return float(np.abs(np.diff(clouds, axis=2)).mean() / clouds.std())


def test_the_faster_chance_shrinks_the_smoother_the_cloud() -> None:
    rough = [roughness(plasma(wobbles(8, 64), decay)) for decay in (1.2, 1.5, 2, 3)]
    assert rough == sorted(rough, reverse=True)


@pytest.mark.parametrize("decay", [1.75, 3])
def test_coarse_to_fine(decay: float) -> None:
    """Chance at the finest points moves the cloud less than chance at the coarsest."""
    first = wobbles(8, 32)
    fine, coarse = first.copy(), first.copy()
    fine[:, 1::2, 1::2] *= -1
    coarse[:, ::8, ::8] *= -1
    still, little, much = (plasma(each, decay) for each in (first, fine, coarse))
    assert np.abs(little - still).mean() < np.abs(much - still).mean()


def test_it_goes_on_beyond_its_edges() -> None:
    """The last row is as near to the first as any two neighbours are."""
    clouds = plasma(wobbles(64, 64), 2)
    inside = np.abs(np.diff(clouds, axis=1)).mean()
    across = np.abs(clouds[:, 0] - clouds[:, -1]).mean()
    assert across < 1.3 * inside


def test_a_batch_is_its_clouds() -> None:
    chance = wobbles(5, 32)
    whole = plasma(chance, 2)
    for number in range(5):
        np.testing.assert_array_equal(whole[number], plasma(chance[number : number + 1], 2)[0])
