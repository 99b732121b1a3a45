"""Selection of policies: nothing is chosen by chance, and of level policies the cheapest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.policies.selection import select_policy
from allweather.trainers.policies.tuning import TunedPolicy


def tuned(name: str, correct: npt.NDArray[np.bool_], mean_views: float) -> TunedPolicy:
    """A policy with these correct predictions."""
    accuracy = correct.astype(np.float32)
    return TunedPolicy(parse_policy(name), float(accuracy.mean()), -1.0, mean_views, accuracy)


def answers(rng: np.random.Generator, like: npt.NDArray[np.bool_], gained: float, lost: float) -> npt.NDArray[np.bool_]:
    """Predictions that correct a share of the incorrect ones of others, and spoil a share of the correct ones."""
    draw = rng.random(len(like))
    return np.where(like, draw >= lost, draw < gained)


NAMES = ("hflip", "5crop", "10crop", "all", "top:1", "top:2", "top:1+flip", "top:2+flip", "random:2", "random:3")


@pytest.mark.parametrize("count", [60, 500])
@pytest.mark.slow
def test_policies_that_are_no_better_are_rarely_chosen(count: int) -> None:
    chosen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        one_view = rng.random(count) < 0.5
        compared = [tuned(name, answers(rng, one_view, 0.1, 0.1), 2) for name in NAMES]
        chosen += select_policy(compared, tuned("center", one_view, 1), 4).chosen.policy.name != "center"
    assert chosen <= 7  # 95 % of 60 would be 57; the test has a margin for chance


def test_the_case_that_was_found_75_images_and_a_less_accurate_policy() -> None:
    rng = np.random.default_rng(0)
    center = tuned("center", np.arange(75) < 37, 1)
    compared = [
        center,
        tuned("all", np.arange(75) < 36, 4),
        tuned("top:1", answers(rng, np.arange(75) < 37, 0.1, 0), 1),
    ]
    selection = select_policy(compared, center, 4)
    assert selection.chosen is center
    text = "; ".join(selection.sentences())
    assert "75 validation images (95 %, paired bootstrap)" in text
    assert "no policy is better than one view beyond chance: one view is stored" in text
    assert "the closest is top:1 with" in text


@pytest.mark.parametrize("count", [3, 15, 49])
def test_a_few_images_decide_nothing_even_if_all_of_them_gain(count: int) -> None:
    none, every = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    selection = select_policy([tuned("hflip", every, 2)], tuned("center", none, 1), 4)
    assert selection.chosen.policy.name == "center"
    assert f"{count} images decide nothing, at least 50 are needed" in "; ".join(selection.sentences())


@pytest.mark.slow
def test_a_real_gain_is_found_and_the_cheaper_of_level_policies_is_chosen() -> None:
    rng = np.random.default_rng(1)
    one_view = rng.random(2000) < 0.7
    best = answers(rng, one_view, 0.4, 0.01)
    level = best ^ (rng.random(2000) < 0.001)  # a prediction or two differ
    compared = [
        tuned("top:1", answers(rng, one_view, 0.1, 0.01), 1),
        tuned("top:2+flip@0.95", level, 1.7),
        tuned("top:2+flip", best, 4),
        tuned("all", best, 12),
    ]
    selection = select_policy(compared, tuned("center", one_view, 1), 4)
    assert selection.chosen.policy.name == "top:2+flip@0.95"
    assert selection.level_with == ("top:2+flip",)
    text = "; ".join(selection.sentences())
    assert "top:2+flip@0.95 gains" in text
    assert "cannot tell it from top:2+flip; it runs the fewest views" in text
    assert select_policy(compared, tuned("center", one_view, 1), 1.5).chosen.policy.name == "top:1"
    again = select_policy(compared, tuned("center", one_view, 1), 4)
    assert again.sentences() == selection.sentences()  # the resampling is seeded


@pytest.mark.slow
@pytest.mark.parametrize(("more_by", "chosen"), [(1, "hflip+logits"), (0, "hflip"), (-1, "hflip")])
@pytest.mark.parametrize("reverse", [False, True])
def test_of_the_same_views_the_more_accurate_average_is_chosen(more_by: int, chosen: str, reverse: bool) -> None:
    rank = np.arange(1000)
    compared = [tuned("hflip", rank < 800, 2), tuned("hflip+logits", rank < 800 + more_by, 2)]
    selection = select_policy(compared[::-1] if reverse else compared, tuned("center", rank < 700, 1), 4)
    assert selection.chosen.policy.name == chosen
    assert len(selection.level_with) == 1


def test_a_better_policy_that_runs_too_many_views_is_named() -> None:
    rank = np.arange(1000)
    center = tuned("center", rank < 800, 1)
    compared = [center, tuned("hflip", rank < 801, 2), tuned("center+large@0.7", rank < 870, 4.6)]
    text = "; ".join(select_policy([*compared, tuned("all", rank < 802, 12)], center, 4).sentences())
    assert "no policy of at most 4 views is better than one view beyond chance" in text
    assert "center+large@0.7 is 7.0 points better, but takes the time of 4.6 views, more than the 4 that" in text
    assert "allow 5 (max_views) to have it compared" in text
    assert "all" not in [part.split()[0] for part in text.split("; ")]  # what it has more may be chance
    assert select_policy(compared, center, 5).chosen.policy.name == "center+large@0.7"
    assert not any("better, but" in each for each in select_policy(compared, center, 5).sentences())


@pytest.mark.slow
def test_the_best_of_many_policies_left_out_is_not_called_better_by_chance() -> None:
    rng, named = np.random.default_rng(5), 0
    for _ in range(60):
        center, *others = (tuned("all", rng.random(100) < 0.5, views) for views in [1, *[12] * 20])
        named += any("points better, but" in line for line in select_policy([center, *others], center, 4).sentences())
    assert named <= 6  # 5 % are expected


def test_policies_that_run_too_many_views_are_an_error() -> None:
    center = tuned("center", np.ones(100, np.bool_), 1)
    with pytest.raises(UsageError, match=r"no policy runs 1 view.* hflip .*: 2$"):
        select_policy([tuned("hflip", np.ones(100, np.bool_), 2)], center, 1)
