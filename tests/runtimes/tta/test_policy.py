"""Policies: what they run, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Pick, Policy, parse_policy
from allweather.runtimes.tta.views import VIEWS, view

EVERY = tuple(VIEWS)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def names(text: str, losses: np.ndarray | None = None) -> tuple[str, ...]:
    """What a policy runs."""
    policy = parse_policy(text)
    return policy.views_for(policy.choose(None if losses is None else losses[None], rng())[0])[0]


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("center", 1), ("hflip", 2), ("5crop", 5), ("10crop", 10), ("all", 12), ("random:4", 4), ("top:1", 1),
        ("top:12", 12), ("top:2+flip", 4), ("oracle:2", 2), ("set:identity,hflip", 2), ("set:identity,hflip:7", 7),
        ("top:2+flip@0.95", 4), ("hflip@.5", 2), ("10crop@1", 10),
    ],
)  # fmt: skip
def test_every_form_runs_as_many_pictures_as_it_says(text: str, runs: int) -> None:
    policy = parse_policy(text)
    losses = np.linspace(0, 1, len(policy.views), dtype=np.float32)
    chosen, weights = policy.views_for(policy.choose(losses[None], rng())[0])
    assert policy.name == text
    assert len(chosen) == len(weights) == policy.max_views == runs
    for name in chosen:
        view(name)
    assert policy.needs_predictor == text.startswith("top")


def test_center_looks_once_at_the_picture_as_it_is() -> None:
    assert names("center") == ("identity",)


@given(st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=12), st.integers(1, 12))
def test_top_takes_the_lowest_losses_in_order(losses: list[float], count: int) -> None:
    found = names(f"top:{count}", np.array(losses, np.float32))
    seen = [losses[EVERY.index(name)] for name in found]
    assert seen == sorted(losses)[:count]
    assert len(set(found)) == count


@pytest.mark.parametrize("text", ["all", "random:5", "set:identity,hflip:9", "top:3", "oracle:2"])
def test_many_frames_are_chosen_for_at_once(text: str) -> None:
    policy = parse_policy(text)
    losses = np.random.default_rng(1).random((50, 12)).astype(np.float32)
    places = policy.choose(losses, rng(), 50)
    assert places.shape == (50, policy.num_views)
    if policy.pick in ("top", "oracle", "all"):
        alone = [policy.choose(row[None], rng())[0] for row in losses]
        assert np.array_equal(np.stack(alone), places)
    if policy.pick == "random":
        assert all(len(set(each)) == 5 for each in places.tolist())


def test_nan_is_the_worst_loss() -> None:
    losses = np.full(12, np.nan, np.float32)
    losses[[3, 7]] = (2.0, 1.0)
    assert names("top:2", losses) == (EVERY[7], EVERY[3])


def test_a_flip_goes_with_each_chosen_view() -> None:
    losses = np.ones(12, np.float32)
    losses[[4, 0]] = (-2, -1)
    assert names("top:2+flip", losses) == ("zoom1.2", "zoom1.2/hflip", "identity", "hflip")


def test_draws_repeat_and_subsets_do_not() -> None:
    drawn = names("set:identity,hflip:40")
    assert set(drawn) == {"identity", "hflip"}
    subset = names("random:12")
    assert sorted(subset) == sorted(EVERY)
    assert subset != EVERY


def test_any_policy_may_stop_where_its_vote_is_settled() -> None:
    found = Policy("gps:2", "all", ("zoom1.2", "identity"), 2)
    stopping = parse_policy("gps:2@0.9", [found])
    assert (stopping.views, stopping.early_exit_threshold, stopping.exits_early) == (found.views, 0.9, True)
    assert not found.exits_early
    with pytest.raises(UsageError, match="no view may weigh 0"):
        Policy("made by hand", "all", ("identity", "hflip"), 2, weights=(0.0, 1.0), early_exit_threshold=0.9)


def test_weights_follow_their_views() -> None:
    policy = Policy("learned", "all", ("identity", "hflip", "zoom1.2"), 3, weights=(1.0, 0.0, 2.5))
    assert policy.views_for(policy.choose(None, rng())[0]) == (("identity", "hflip", "zoom1.2"), (1.0, 0.0, 2.5))


def test_what_was_tuned_goes_by_its_name() -> None:
    found = Policy("gps:2", "all", ("zoom1.2", "identity"), 2)
    assert parse_policy("gps:2", [found]) is found
    with pytest.raises(UsageError, match="gps:3 is found by tuning, and this has gps:2; run allweather tune"):
        parse_policy("gps:3", [found])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top:0", "number of views is 1 to 12; got 0"),
        ("top:13", "number of views is 1 to 12; got 13"),
        ("top:-1", "wants a number of views, such as top:2; got '-1'"),
        ("top:", "wants a number of views"),
        ("top:2+flop", "wants a number of views"),
        ("random:99999999999", "wants a number of views"),
        ("oracle", "wants a number of views"),
        ("set:identity,hflip:65", "number of views is 1 to 64; got 65"),
        ("set:identity,identity", "named twice"),
        ("set:identity,fog", "no view is called 'fog'"),
        ("set:", "no view is called ''"),
        ("top:1@0", "the share that settles a vote is above 0, at most 1"),
        ("hflip@1.01", "above 0, at most 1"),
        ("hflip@nan", "above 0, at most 1"),
        ("hflip@", "wants the share of the vote that settles it, such as hflip@0.95"),
        ("hflip@0.5@0.6", "wants the share of the vote"),
        ("gps:2@0.9", "gps:2 is found by tuning"),
        ("center", "no policy is called 'center'; did you mean center[?]"),
        ("learned", "found by tuning, and this has none"),
        ("", "no policy is called ''"),
    ],
)
def test_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policy(text)


@pytest.mark.parametrize("pick", ["top", "oracle"])
def test_a_policy_that_would_rank_other_views_is_refused(pick: Pick) -> None:
    for views in (("hflip",), EVERY[::-1], (*EVERY, "hflip")):
        with pytest.raises(UsageError, match="losses are known of the 12 views alone, in their order"):
            Policy("made by hand", pick, views, 1)


def test_weights_that_a_vote_could_lack_are_refused() -> None:
    with pytest.raises(UsageError, match="weights go with views that are all run"):
        Policy("made by hand", "draw", ("identity", "hflip"), 1, weights=(1.0, 0.0))


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_weights_that_cannot_vote_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="one weight a view"):
        Policy("learned", "all", ("identity", "hflip"), 2, weights=weights)
