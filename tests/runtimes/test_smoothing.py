"""Smoothing: a mean over the frames of a stream that a constant passes through, and that a fault cannot poison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.smoothing import Smoothing


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)


@given(st.integers(1, 50), st.integers(1, 30), st.floats(-5, 5, width=32))
def test_what_is_constant_stays(frames: int, count: int, value: float) -> None:
    losses = np.full((count, 12), value, np.float32)
    assert Smoothing(frames)(losses) == pytest.approx(losses)


def test_one_frame_stands_alone() -> None:
    losses = rows(9)
    assert np.array_equal(Smoothing(1)(losses), losses)


def test_the_first_frames_are_averaged_evenly_and_older_ones_fade() -> None:
    losses = rows(6)
    found = Smoothing(4)(losses)
    for count in range(1, 5):
        assert found[count - 1] == pytest.approx(losses[:count].mean(0), abs=1e-6)
    assert found[4] == pytest.approx(0.75 * found[3] + 0.25 * losses[4], abs=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_batches_are_a_stream(sizes: list[int]) -> None:
    losses, mean = rows(sum(sizes)), Smoothing(8)
    parts = [mean(part) for part in np.split(losses, np.cumsum(sizes)[:-1])]
    assert np.array_equal(np.concatenate(parts), Smoothing(8)(losses))


def test_the_mean_is_less_noisy_than_what_it_is_of() -> None:
    assert Smoothing(8)(rows(500))[100:].std() < 0.4


def test_nan_leaves_the_mean_as_it_was() -> None:
    losses = rows(5)
    losses[2] = np.nan
    losses[0, 3] = np.nan
    found = Smoothing(4)(losses)
    assert np.array_equal(found[2], found[1])
    assert np.isnan(found[0, 3])
    assert np.isfinite(found[1:]).all()
    assert found[1, 3] == losses[1, 3]


def test_a_new_stream_remembers_nothing() -> None:
    mean, losses = Smoothing(8), rows(3)
    mean(rows(20, seed=1))
    mean.forget()
    assert np.array_equal(mean(losses), Smoothing(8)(losses))
