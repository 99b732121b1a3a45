"""What a number of images can tell."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.trainers.training.uncertainty import (
    lower_bounds,
    mean_interval,
    resampled_means,
    unseen_share,
)


@pytest.mark.slow
def test_intervals_cover_the_true_mean_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = mean_interval(rng.random(80))
        covered += interval.low <= 0.5 <= interval.high
    assert 180 <= covered <= 199


def test_the_same_seed_draws_the_same_images_for_all_columns() -> None:
    values = np.random.default_rng(1).random((100, 1))
    means = resampled_means(np.repeat(values, 2, axis=1))
    assert (means[:, 0] == means[:, 1]).all()
    assert (means == resampled_means(np.repeat(values, 2, axis=1))).all()
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)


def test_one_candidate_is_judged_less_severely_than_among_many() -> None:
    gains = np.random.default_rng(2).normal(0.1, 1, (500, 20))
    alone, among = lower_bounds(gains[:, :1])[0], lower_bounds(gains)[0]
    assert among < alone < gains[:, 0].mean()


def test_bounds_of_gains_without_any_spread() -> None:
    constant = np.concatenate([np.zeros((60, 1)), np.ones((60, 1))], 1)
    assert lower_bounds(constant).tolist() == [0, 1]
    assert lower_bounds(constant[:49]).tolist() == [-np.inf, -np.inf]


def test_what_few_images_cannot_show() -> None:
    assert unseen_share(15) == pytest.approx(0.181, abs=0.001)
    assert unseen_share(1000) == pytest.approx(0.003, abs=0.0001)
