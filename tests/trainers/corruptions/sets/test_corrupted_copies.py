from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions import COMMON
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_copies_are_corrupted_except_the_clean_share_and_the_images_given_stay() -> None:
    images, clean = random_images(400), random_images(400)
    result, chosen = corrupted_copies(images, CopySettings(clean=0.25), np.random.default_rng(1))
    np.testing.assert_array_equal(images, clean)
    changed = (result != clean).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, chosen >= 0)
    assert 0.15 < np.mean(chosen < 0) < 0.35
    assert set(chosen.tolist()) == set(range(-1, len(COMMON)))


def test_a_share_of_the_copies_is_dark_and_none_of_the_clean_ones() -> None:
    images = np.full((2000, 16, 16, 3), 200, np.uint8)
    medians = {}
    for dark in (0.0, 0.2, 1.0):
        copies, chosen = corrupted_copies(images, CopySettings(clean=0.5, dark=dark), np.random.default_rng(0))
        np.testing.assert_array_equal(copies[chosen < 0], 200)
        medians[dark] = np.median(copies[chosen >= 0], (1, 2, 3))
    assert [round(float((medians[dark] < 100).mean()), 1) for dark in medians] == [0.0, 0.1, 0.6]
    assert np.median(medians[1.0]) < np.quantile(medians[0.0], 0.05)


def test_the_random_generator_alone_decides() -> None:
    once, again, other = (
        corrupted_copies(random_images(40), CopySettings(), np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copies": 0}, "copies .* 1 to 100; got 0"),
        ({"copies": 101}, "copies .* 1 to 100; got 101"),
        ({"clean": -0.1}, "clean .* 0 to 1; got -0.1"),
        ({"clean": float("nan")}, "clean .* 0 to 1; got nan"),
        ({"dark": 1.5}, "darkened .* 0 to 1; got 1.5"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CopySettings(**settings)  # type: ignore[arg-type]
