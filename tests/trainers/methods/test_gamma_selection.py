"""The choice of gamma: nothing is chosen on differences that come by chance."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from allweather.trainers.methods.gamma_selection import NUM_ROWS, GammaTrial, select_gamma

GAMMAS = (0.1, 0.3, 1.0, 3.0, 10.0)
Correct = npt.NDArray[np.float64]


def trial(gamma: float, clean: Correct, average: float, rng: np.random.Generator) -> GammaTrial:
    """Makes a trial that is right about these clean images and about a share of the augmented ones."""
    augmented = (rng.random((NUM_ROWS - 1, len(clean))) < average).sum(0)
    return GammaTrial(gamma, clean, clean + augmented)


def grid(images: int, averages: Callable[[float], float], seed: int = 0) -> tuple[list[GammaTrial], Correct]:
    """Makes a trial for each gamma; all of them are right about nine of ten clean images."""
    rng = np.random.default_rng(seed)
    clean = (np.arange(images) % 10 > 0).astype(float)
    return [trial(gamma, clean, averages(gamma), rng) for gamma in GAMMAS], clean


@pytest.mark.parametrize("images", [60, 200])
@pytest.mark.slow
def test_of_gammas_that_differ_by_chance_only_the_smallest_is_chosen(images: int) -> None:
    chosen = [select_gamma(*grid(images, lambda gamma: 0.7, seed), default=1.0).gamma for seed in range(10)]
    assert chosen.count(0.1) >= 9  # one in twenty is judged wrongly at this level


@pytest.mark.slow
def test_a_gamma_that_is_better_beyond_chance_is_chosen() -> None:
    selection = select_gamma(*grid(500, lambda gamma: 0.8 if gamma >= 1 else 0.6), default=0.3)
    assert selection.gamma == 1.0
    assert set(selection.level_with) == {3.0, 10.0}
    said = " ".join(selection.sentences())
    assert "of 500 validation images" in said
    assert "cannot tell gamma 1 from 3, 10" in said


@pytest.mark.slow
def test_the_only_good_one_is_said_to_be_better_than_all_others() -> None:
    selection = select_gamma(*grid(500, lambda gamma: 0.9 if gamma == 3 else 0.6), default=0.3)
    assert selection.gamma == 3.0
    assert selection.sentences()[-1] == "gamma 3 is better than all others beyond chance"


def test_few_images_decide_nothing() -> None:
    trials, clean = grid(15, lambda gamma: 0.99 if gamma == 10 else 0.2)
    selection = select_gamma(trials, clean, default=0.3)
    assert selection.gamma == 0.3
    assert selection.sentences()[-1].startswith("15 images decide nothing, at least 50 are needed")


@pytest.mark.slow
def test_a_gamma_must_not_cost_clean_accuracy_if_any_gamma_keeps_it() -> None:
    trials, clean = grid(500, lambda gamma: 0.6)
    rng = np.random.default_rng(1)
    worse = clean * (rng.random(500) < 0.9)
    best = trial(10.0, worse, 0.9, rng)
    selection = select_gamma([*trials[:4], best], clean, default=0.3)
    assert selection.gamma == 0.1
    assert selection.costly == (10.0,)
    assert "gamma 10 costs more than 0.5 points" in " ".join(selection.sentences())
    alone = select_gamma([best], clean, default=0.3)
    assert alone.gamma == 10.0
    assert "all were compared" in " ".join(alone.sentences())


def test_a_single_clean_image_less_is_chance() -> None:
    trials, clean = grid(100, lambda gamma: 0.9)
    lost = clean.copy()
    lost[5] = 0
    changed = [GammaTrial(each.gamma, lost, each.rows_correct) for each in trials[:1]] + trials[1:]
    assert select_gamma(changed, clean, default=1.0).costly == ()


def test_a_trial_is_kept_as_plain_values() -> None:
    trials, _ = grid(20, lambda gamma: 0.5)
    for each in trials:
        again = GammaTrial.from_dict(json.loads(json.dumps(each.as_dict())))
        assert (again.clean_accuracy, again.average_accuracy) == (each.clean_accuracy, each.average_accuracy)
        assert (again.rows_correct == each.rows_correct).all()


@pytest.mark.parametrize("row", [{}, {"gamma": 1}, {"gamma": 1, "clean_correct": [1], "rows_correct": [1, 2]},
                                 {"gamma": 1, "clean_correct": [], "rows_correct": []},
                                 {"gamma": "x", "clean_correct": [1], "rows_correct": [1]}, [], 5])  # fmt: skip
def test_a_damaged_file_makes_no_trial(row: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        GammaTrial.from_dict(row)  # type: ignore[arg-type]
