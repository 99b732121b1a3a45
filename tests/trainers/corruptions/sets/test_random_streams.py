from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from allweather.trainers.corruptions.sets.random_streams import image_rngs


def numbers(
    seed: int = 0, name: str = "fog", severity: int = 1, first: int = 0, count: int = 1, each: int = 50
) -> np.ndarray:
    """The first `each` random numbers of `count` images, [count, each]."""
    return np.stack([rng.random(each) for rng in image_rngs(seed, name, severity, first, count)])


@given(first=st.integers(0, 10**6), count=st.integers(1, 8), inside=st.integers(0, 7))
def test_an_image_draws_the_same_wherever_its_batch_starts(first: int, count: int, inside: int) -> None:
    inside %= count
    np.testing.assert_array_equal(numbers(first=first, count=count)[inside], numbers(first=first + inside)[0])


def test_an_image_draws_the_same_whatever_the_previous_one_drew() -> None:
    drawn = []
    for amount in (3, 1000):
        rngs = enumerate(image_rngs(0, "fog", 1, 0, 2))
        first, second = (rng.random(amount if index == 0 else 5) for index, rng in rngs)
        drawn.append(second)
        assert len(first) == amount
    np.testing.assert_array_equal(*drawn)


def test_unused_bits_of_one_image_are_not_used_for_the_next() -> None:
    """A generator keeps the unused 32 bits of a word for the next small number."""
    rngs = enumerate(image_rngs(0, "fog", 1, 0, 2))
    drawn = [rng.integers(0, 9, 1 + 2 * (index == 0), np.uint32) for index, rng in rngs]
    assert drawn[1] == next(image_rngs(0, "fog", 1, 1, 1)).integers(0, 9, 1, np.uint32)


def test_images_seeds_names_and_severities_are_uncorrelated() -> None:
    rows = [
        *numbers(count=12, each=20_000),
        *numbers(first=10**9, each=20_000),
        *(numbers(seed=seed, each=20_000)[0] for seed in (1, 2, 2**40)),
        *(numbers(name=name, each=20_000)[0] for name in ("frost", "snow")),
        *(numbers(severity=severity, each=20_000)[0] for severity in (2, 3, 4, 5)),
    ]
    correlation = np.abs(np.corrcoef(np.stack(rows)) - np.eye(len(rows)))
    assert correlation.max() < 0.04  # nearly six standard deviations of 1 / sqrt(20000)
    assert len(np.unique(np.stack(rows))) == len(rows) * 20_000


def test_every_stream_is_uniform() -> None:
    values = numbers(count=20, each=10_000)
    assert np.abs(values.mean(axis=1) - 0.5).max() < 0.02
    assert np.abs(values.var(axis=1) - 1 / 12).max() < 0.005
