"""Policies: which views they run, and which policies are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Pick, Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.predictor_views import check_ranked_views
from allweather.runtimes.tta.views import VIEWS, view

EVERY = tuple(VIEWS)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def names(text: str, losses: np.ndarray | None = None) -> tuple[str, ...]:
    """Returns the views that a policy runs on one frame."""
    policy = parse_policy(text)
    return policy.views_for(policy.choose(None if losses is None else losses[None], rng())[0])[0]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("center", 1), ("hflip", 2), ("5crop", 5), ("10crop", 10), ("all", 12), ("random:4", 4), ("top:1", 1),
        ("top:12", 12), ("top:2+flip", 4), ("oracle:2", 2), ("set:identity,hflip", 2), ("set:identity,hflip:7", 7),
        ("top:2+flip@0.95", 4), ("hflip@.5", 2), ("10crop@1", 10), ("hflip+logits", 2), ("top:2+flip+logits@0.9", 4),
        ("set:identity,hflip:7+logits", 7), ("set:zoom1.2,rotate+20+logits", 2),
    ],
)  # fmt: skip
def test_every_form_runs_as_many_images_as_it_says(text: str, count: int) -> None:
    policy = parse_policy(text)
    losses = np.linspace(0, 1, len(policy.views), dtype=np.float32)
    chosen, weights = policy.views_for(policy.choose(losses[None], rng())[0])
    assert policy.name == text
    assert policy.averages == ("logits" if "+logits" in text else "probabilities")
    assert len(chosen) == len(weights) == policy.max_views == count
    for name in chosen:
        view(name)
    assert policy.needs_predictor == text.startswith("top")


def test_center_runs_the_image_itself() -> None:
    assert names("center") == ("identity",)


@given(st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=12), st.integers(1, 12))
@pytest.mark.slow
def test_top_takes_the_lowest_losses_in_order(losses: list[float], count: int) -> None:
    chosen = names(f"top:{count}", np.array(losses, np.float32))
    assert [losses[EVERY.index(name)] for name in chosen] == sorted(losses)[:count]
    assert len(set(chosen)) == count


@pytest.mark.parametrize("text", ["all", "random:5", "set:identity,hflip:9", "top:3", "oracle:2"])
def test_views_of_many_frames_are_chosen_at_once(text: str) -> None:
    policy = parse_policy(text)
    losses = np.random.default_rng(1).random((50, 12)).astype(np.float32)
    indices = policy.choose(losses, rng(), 50)
    assert indices.shape == (50, policy.num_views)
    if policy.pick in ("top", "oracle", "all"):
        alone = [policy.choose(row[None], rng())[0] for row in losses]
        assert np.array_equal(np.stack(alone), indices)
    if policy.pick == "random":
        assert all(len(set(each)) == 5 for each in indices.tolist())


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


def test_any_policy_may_exit_early() -> None:
    tuned = Policy("gps:2", "all", ("zoom1.2", "identity"), 2)
    exiting = parse_policy("gps:2@0.9", [tuned])
    assert (exiting.views, exiting.early_exit_threshold, exiting.exits_early) == (tuned.views, 0.9, True)
    assert not tuned.exits_early
    with pytest.raises(UsageError, match=r"early exit.* no view .*weight 0"):
        Policy("made by hand", "all", ("identity", "hflip"), 2, weights=(0.0, 1.0), early_exit_threshold=0.9)
    with pytest.raises(UsageError, match=r"the first view has a weight above 0"):
        Policy("made by hand", "all", ("identity", "hflip"), 2, weights=(0.0, 1.0))
    Policy("made by hand", "all", ("identity", "hflip"), 2, weights=(1.0, 0.0))


def test_any_policy_may_average_logits() -> None:
    learned = Policy("learned", "all", ("identity", "hflip"), 2, weights=(0.7, 0.3))
    both = Policy("gps:2+logits", "all", ("zoom1.2", "hflip"), 2, averages="logits")
    other = parse_policy("learned+logits@0.9", [learned, both])
    assert (other.views, other.weights, other.averages) == (learned.views, learned.weights, "logits")
    assert other.early_exit_threshold == 0.9
    assert parse_policy("gps:2+logits", [learned, both]) is both
    assert parse_policy("gps:2+logits@0.9", [learned, both]).averages == "logits"
    assert parse_policy("top:2").averages == learned.averages == "probabilities"
    with pytest.raises(UsageError, match=r"policy made by hand: it averages probabilities or logits; got 'votes'"):
        Policy("made by hand", "all", ("hflip",), 1, averages="votes")  # type: ignore[arg-type]


def test_weights_follow_their_views() -> None:
    policy = Policy("learned", "all", ("identity", "hflip", "zoom1.2"), 3, weights=(1.0, 0.0, 2.5))
    assert policy.views_for(policy.choose(None, rng())[0]) == (("identity", "hflip", "zoom1.2"), (1.0, 0.0, 2.5))


def test_a_tuned_policy_is_found_by_its_name() -> None:
    tuned = Policy("gps:2", "all", ("zoom1.2", "identity"), 2)
    assert parse_policy("gps:2", [tuned]) is tuned
    with pytest.raises(UsageError, match=r"gps:3 is found by tuning, and only gps:2 .*allweather tune-policy"):
        parse_policy("gps:3", [tuned])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top:0", "number of views is 1 to 12; got 0"),
        ("top:13", "number of views is 1 to 12; got 13"),
        ("top:-1", r"needs a number of views, such as top:2 or top:2\+flip; got '-1'"),
        ("top:", "needs a number of views"),
        ("top:2+flop", "needs a number of views"),
        ("random:99999999999", "needs a number of views"),
        ("oracle", "needs a number of views"),
        ("set:identity,hflip:65", "number of views is 1 to 64; got 65"),
        ("set:identity,identity", "named twice"),
        ("set:identity,fog", "no view is called 'fog'"),
        ("set:", "names no view; write set:VIEW,VIEW"),
        ("top:1@0", "early-exit threshold is above 0 and at most 1; got 0"),
        ("hflip@1.01", "above 0 and at most 1; got 1.01"),
        ("hflip@nan", "above 0 and at most 1; got nan"),
        ("hflip@", "needs the probability of its early exit, such as hflip@0.95"),
        ("center@0.7+large", r"its early exit comes last; write center\+large@0\.7$"),
        ("top:1@0.95+large+logits", r"its early exit comes last; write top:1\+large\+logits@0\.95$"),
        ("hflip@0.9+logits", r"its early exit comes last; write hflip\+logits@0\.9$"),
        ("center@x+large", "needs the probability of its early exit, such as center@0.95"),
        ("hflip@0.5@0.6", "needs the probability"),
        ("hflip+logits+logits", "no policy is called"),
        ("hflip" + 5000 * "+logits", "no policy is called"),
        ("top:2+logits+flip", "needs a number of views"),
        ("+logits", "no policy is called ''"),
        ("gps:2+logits", "gps:2 is found by tuning"),
        ("gps:2@0.9", "gps:2 is found by tuning"),
        ("centre", "no policy is called 'centre'; did you mean center[?]"),
        ("learned", "found by tuning, and no policy was tuned"),
        ("", "no policy is called ''"),
    ],
)
def test_an_invalid_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policy(text)


@given(st.lists(st.sampled_from(EVERY), min_size=1, unique=True), st.data())
@pytest.mark.slow
def test_top_chooses_among_the_views_of_the_predictor_in_their_order(views: list[str], data: st.DataObject) -> None:
    losses = np.array(data.draw(st.permutations(range(len(views)))), np.float32)
    count = data.draw(st.integers(1, len(views)))
    for text in (f"top:{count}", f"oracle:{count}", f"top:{count}+flip@0.9"):
        policy = parse_policy(text, predictor_views=views)
        assert policy.views == tuple(views)
        chosen, _ = policy.views_for(policy.choose(losses[None], rng())[0])
        assert chosen[:: policy.images_per_view] == tuple(views[index] for index in losses.argsort()[:count])
    with pytest.raises(UsageError, match=f"number of views is 1 to {len(views)}; got {len(views) + 1}"):
        parse_policy(f"top:{len(views) + 1}", predictor_views=views)


@pytest.mark.parametrize("pick", ["top", "oracle"])
def test_a_policy_that_ranks_other_views_than_the_predictor_is_refused(pick: Pick) -> None:
    for views in (("hflip",), EVERY[::-1], (*EVERY, "hflip")):
        policy = Policy("made by hand", pick, views, 1)
        with pytest.raises(UsageError, match=r"made by hand ranks other views .* than the loss predictor"):
            check_ranked_views([policy], EVERY)
        check_ranked_views([policy.with_predictor_views(EVERY)], EVERY)
    check_ranked_views([Policy("made by hand", "all", ("hflip",), 1)], EVERY)


@pytest.mark.parametrize("losses", [None, np.zeros((1, 3), np.float32), np.zeros((1, 13), np.float32)])
def test_losses_of_other_views_are_refused(losses: np.ndarray | None) -> None:
    with pytest.raises(UsageError, match=r"policy top:2 ranks 12 views, and got (no losses|losses of shape)"):
        parse_policy("top:2").choose(losses, rng())


@pytest.mark.parametrize("text", ["top:2", "top:2+flip"])
def test_without_losses_a_ranking_policy_runs_the_image_itself(text: str) -> None:
    names, weights = parse_policy(text, predictor_views=("zoom1.2", "color2")).fallback_views()
    assert names == ("identity", "hflip")[: 1 + text.endswith("+flip")]
    assert weights == (1.0,) * len(names)


def test_a_view_whose_flip_would_chain_too_many_views_is_refused() -> None:
    chain = "zoom1.2/zoom1.2/zoom1.2"
    assert parse_policy("top:1", predictor_views=(chain,)).views == (chain,)
    with pytest.raises(UsageError, match="at most 3 views can be chained"):
        parse_policy("top:1+flip", predictor_views=(chain,))


def test_only_a_policy_that_runs_all_views_has_weights() -> None:
    with pytest.raises(UsageError, match="only a policy that runs all of its views can have weights"):
        Policy("made by hand", "draw", ("identity", "hflip"), 1, weights=(1.0, 0.0))


@pytest.mark.parametrize(
    "weights",
    [
        (1.0,), (0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"), 1.0), (1e308, 1e308), (5e-324, 5e-324),
    ],
)  # fmt: skip
def test_weights_without_an_average_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="one weight for each view"):
        Policy("learned", "all", ("identity", "hflip"), 2, weights=weights)
