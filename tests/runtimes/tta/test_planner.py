"""The planner with exact latency models: never past the deadline, and never fewer views than there is time for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import Planner, batch_sizes
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Budget, Floats, Frame, Image

POLICIES = ("center", "hflip", "all", "5crop", "random:5", "top:1", "top:6", "top:4+flip")
LOSSES = np.arange(len(VIEWS), dtype=np.float32)[None, ::-1]


def exact_latency(one: float, more: float, max_views: int = 24) -> LatencyModel:
    """n views take one + (n - 1) * more seconds, exactly and always."""
    latency = LatencyModel({n: one + (n - 1) * more for n in range(1, max_views + 1)})
    for _ in range(600):
        latency.add(1, one)
    return latency


def learn_that_nothing_is_late(planner: Planner) -> None:
    """Makes the planner use all of the time, as it does after a minute without a late decision."""
    for _ in range(2100):
        planner.learn(late=False, could_be_shorter=True)


@settings(deadline=None)
@given(policy=st.sampled_from(POLICIES), one=st.floats(1e-3, 0.1), share=st.floats(0.3, 1.0), left=st.floats(-0.1, 1.0))
@pytest.mark.slow
def test_the_expected_end_is_inside_the_deadline(policy: str, one: float, share: float, left: float) -> None:
    latency = exact_latency(one, share * one)
    planner = Planner(parse_policy(policy), latency, LatencyModel({1: 0.0}))
    learn_that_nothing_is_late(planner)
    plan = planner.plan(LOSSES if planner.policy.needs_predictor else None, left, np.random.default_rng(0))
    count = len(plan.views)
    assert 1 <= count <= plan.planned_views == planner.policy.max_views
    assert len(plan.weights) == count
    assert len(plan.predicted_losses) == (count if planner.policy.needs_predictor else 0)
    if plan.reason == "past_deadline":
        assert count == 1
        assert latency.seconds(1) > left
    else:
        assert plan.expected_seconds <= left
        assert (plan.reason == "policy") == (count == plan.planned_views)
        larger = [size for size in batch_sizes(plan.planned_views) if size > count]
        assert not larger or latency.seconds(larger[0]) > left, "there was time for a further view"


@settings(deadline=None)
@given(policy=st.sampled_from(POLICIES), one=st.floats(1e-3, 0.1), moments=st.lists(st.floats(-0.1, 2.0), min_size=2))
@pytest.mark.slow
def test_fewer_views_fit_as_time_runs_out(policy: str, one: float, moments: list[float]) -> None:
    planner = Planner(parse_policy(policy), exact_latency(one, 0.7 * one))
    most = planner.policy.max_views
    counts = [planner.largest_batch(most, left) for left in sorted(moments)]
    assert counts == sorted(counts)
    assert planner.largest_batch(most, math.inf) == most


def test_before_anything_is_known_a_tenth_of_the_time_is_kept_free() -> None:
    planner = Planner(parse_policy("all"), exact_latency(0.01, 0.01))
    assert planner.largest_batch(12, 0.042) == 3
    learn_that_nothing_is_late(planner)
    assert planner.largest_batch(12, 0.042) == 4


def test_there_are_few_batch_sizes() -> None:
    assert batch_sizes(1) == (1,)
    assert batch_sizes(5) == (1, 2, 3, 4, 5)
    assert batch_sizes(24) == (1, 2, 3, 4, 6, 8, 12, 24)
    assert max(len(batch_sizes(n)) for n in range(1, 65)) <= 8  # an engine keeps at most so many compiled


# ---- a perceiver that follows the planner, with a fake clock


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class RankingEngine(FakeEngine):
    """A loss predictor that prefers later views of the list."""

    def infer(self, images: Image) -> Floats:
        super().infer(images)
        return np.repeat(LOSSES, len(images), axis=0)


class Device:
    """A fake engine of 10 ms for each view and a fake predictor of 2 ms, which may become slower for a while."""

    def __init__(self, policy: str, budget: float) -> None:
        self.clock, self.slowness, self._index = Clock(), 1.0, 0
        chosen = parse_policy(policy)

        def spend(seconds: float) -> None:
            self.clock.sleep(self.slowness * seconds)

        self.perceiver = Perceiver(
            FakeEngine(4, 0.01, spend), tuple("abcd"), InputSpec(4, 4), Budget(budget), policy=chosen,
            loss_predictor=LossPredictor(RankingEngine(len(VIEWS), 0.002, spend), InputSpec(4, 4)),
            view_latency=LatencyModel({1: 0.01}), predictor_latency=LatencyModel({1: 0.002}), clock=self.clock,
        )  # fmt: skip
        learn_that_nothing_is_late(self.perceiver._planner)

    def frame(self, age: float = 0.0) -> Frame:
        self._index += 1
        return Frame(np.zeros((4, 4, 3), np.uint8), self._index, self.clock.now - age)

    def counts(self, frames: int) -> list[int]:
        return [len(self.perceiver.decide(self.frame()).views) for _ in range(frames)]


@pytest.mark.parametrize(("budget", "count"), [(0.065, 6), (0.049, 4), (0.0245, 2), (0.0145, 1)])
@pytest.mark.slow
def test_as_many_views_are_run_as_fit(budget: float, count: int) -> None:
    device = Device("top:6", budget)
    device.counts(700)
    decision = device.perceiver.decide(device.frame())
    assert len(decision.views) == count
    assert decision.views == tuple(reversed(VIEWS))[:count]
    assert decision.reason == ("policy" if count == 6 else "budget")
    assert (decision.planned_views, decision.late) == (6, False)
    assert decision.time_left == pytest.approx(budget - 0.002)
    assert decision.expected_seconds == pytest.approx(0.01 * count, rel=0.02)


def test_without_time_to_rank_the_image_itself_is_run() -> None:
    device = Device("top:6", 0.05)
    device.counts(50)
    decision = device.perceiver.decide(device.frame(age=0.0385))
    assert (decision.views, decision.predicted_losses, decision.reason) == (("identity",), (), "no_time_to_rank")
    assert (decision.times.rank, decision.late) == (0.0, False)


def test_a_frame_that_is_too_old_gets_one_view_and_is_recognized_in_advance() -> None:
    device = Device("top:6", 0.05)
    device.counts(50)
    old = device.frame(age=0.045)
    assert not device.perceiver.can_meet_deadline(old)
    assert device.perceiver.can_meet_deadline(device.frame())
    decision = device.perceiver.decide(old)
    assert (len(decision.views), decision.reason, decision.late) == (1, "past_deadline", True)


def test_a_budget_that_no_frame_can_keep_drops_none() -> None:
    device = Device("center", 0.005)
    device.counts(5)
    assert device.perceiver.can_meet_deadline(device.frame())


@pytest.mark.slow
def test_a_slow_period_makes_at_most_four_frames_late_and_is_forgotten() -> None:
    device = Device("top:6", 0.07)
    assert device.counts(700)[-1] == 6
    device.slowness = 3.0
    slow = [device.perceiver.decide(device.frame()) for _ in range(50)]
    assert [each.late for each in slow[4:]] == [False] * 46
    assert all(len(each.views) in (1, 2) for each in slow[4:])
    device.slowness = 1.0
    assert device.counts(8)[-1] == 6


@pytest.mark.parametrize("budget", [0.03, 0.07])
@pytest.mark.slow
def test_ranking_comes_back_after_a_slow_period_without_time_for_it(budget: float) -> None:
    device = Device("top:6", budget)
    device.counts(600)
    device.slowness = 10.0
    device.counts(10)
    assert not any(device.perceiver.decide(device.frame()).predicted_losses for _ in range(50))
    device.slowness = 1.0
    device.counts(20)
    assert device.perceiver.decide(device.frame()).reason in ("policy", "budget")


@pytest.mark.slow
def test_an_early_exit_policy_stops_when_time_runs_out() -> None:
    device = Device("all@0.99999", 0.045)
    device.counts(700)
    decision = device.perceiver.decide(device.frame())
    assert len(decision.views) == 4
    assert (decision.reason, decision.planned_views, decision.late) == ("budget", len(VIEWS), False)


def test_the_reserve_is_kept_free() -> None:
    device = Device("center", math.inf)
    perceiver = Perceiver(FakeEngine(2), ("a", "b"), InputSpec(4, 4), Budget(0.05, reserve=0.02), clock=device.clock)
    assert perceiver.decide(device.frame()).time_left == pytest.approx(0.03)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_one_decision_in_a_thousand_is_late_and_the_time_is_used(noise: float) -> None:
    """On a device whose call times have a heavy tail, with a budget between two and three views."""
    rng = np.random.default_rng(0)
    device = Device("all", 0.028)

    def spend(seconds: float) -> None:
        device.clock.sleep(seconds * float(rng.lognormal(0, noise)))

    perceiver = Perceiver(
        FakeEngine(4, 0.01, spend), tuple("abcd"), InputSpec(4, 4), Budget(0.028), policy=parse_policy("all"),
        view_latency=LatencyModel({1: 0.01, 2: 0.02}), clock=device.clock,
    )  # fmt: skip
    decisions = [perceiver.decide(device.frame()) for _ in range(6000)]
    late = [each.late for each in decisions[1000:] if each.reason != "past_deadline"]
    assert sum(late) / len(late) < 0.004
    views_run = [len(each.views) for each in decisions[1000:]]
    assert np.mean(views_run) > (1.9 if noise <= 0.1 else 0.99)
