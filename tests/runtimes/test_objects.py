"""Several objects of a frame within one budget: a fake engine, a fake clock, and properties of what is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.perceiver.batch_costs import BatchCosts
from allweather.runtimes.perceiver.boxes import regions_of
from allweather.runtimes.perceiver.object_state import ObjectState, entropy, most_promising
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import BATCH_SIZES
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Budget, Decision, Floats, Frame, Image

CALL, VIEW = 0.004, 0.002  # seconds of a call, and of each view in it
BUNDLE = Path(__file__).resolve().parents[2] / "samples" / "bundles" / "cifar10-resnet20"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class BatchEngine(FakeEngine):
    """A batch of n images takes a fixed time and n times one more."""

    def __init__(self, clock: Clock, classes: int = 4, call: float = CALL, view: float = VIEW) -> None:
        super().__init__(classes)
        self.clock, self.call, self.view, self.sizes = clock, call, view, list[int]()

    def infer(self, images: Image) -> Floats:
        self.sizes.append(len(images))
        self.clock.sleep(self.call + self.view * len(images))
        return super().infer(images)


class NeedsGradient:
    """Raises what a tensor of torch does that needs a gradient."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("use detach")


class BrightnessPredictor(BatchEngine):
    """Predicts higher losses for brighter images; of the views, later ones are better."""

    def infer(self, images: Image) -> Floats:
        super().infer(images)
        brightness = images.reshape(len(images), -1).mean(1, keepdims=True) / 255
        return np.asarray(0.1 + brightness * np.linspace(2, 1, len(VIEWS)), np.float32)


class Device:
    """A perceiver whose latency models are exact."""

    def __init__(self, policy: str, budget: float = math.inf) -> None:
        self.clock = Clock()
        self.engine = BatchEngine(self.clock)
        self.predictor = BrightnessPredictor(self.clock, len(VIEWS), 0.001, 0.0002)
        self.perceiver = Perceiver(
            self.engine, tuple("abcd"), InputSpec(4, 4), Budget(budget), policy=parse_policy(policy),
            loss_predictor=LossPredictor(self.predictor, InputSpec(4, 4)), clock=self.clock,
            view_latency=exact(CALL, VIEW), predictor_latency=exact(0.001, 0.0002),
        )  # fmt: skip
        for _ in range(2100):  # as it is after a minute without a late decision
            self.perceiver._planner.learn(late=False, could_be_shorter=True)

    def decide(self, grays: Sequence[int]) -> list[Decision]:
        """Decides on a row of gray squares."""
        image = np.repeat(np.asarray(grays, np.uint8), 6)[None, :, None].repeat(6, 0).repeat(3, 2)
        boxes = [(6 * index, 0, 6 * index + 6, 6) for index in range(len(grays))]
        return self.perceiver.objects(Frame(image, 7, self.clock.now), boxes)


def exact(call: float, view: float) -> LatencyModel:
    model = LatencyModel({size: call + view * size for size in BATCH_SIZES})
    for _ in range(600):
        model.add(1, call + view)
    return model


def gray_levels(most: int = 9) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 255), min_size=1, max_size=most)


@settings(deadline=None, max_examples=60)
@given(grays=gray_levels(), policy=st.sampled_from(("center", "hflip", "all", "top:1", "top:3+flip", "5crop")))
@pytest.mark.slow
def test_without_a_deadline_each_object_is_decided_as_by_itself(grays: list[int], policy: str) -> None:
    device = Device(policy)
    decisions = device.decide(grays)
    for gray, decision in zip(grays, decisions, strict=True):
        alone = Device(policy).perceiver(np.full((6, 6, 3), gray, np.uint8))
        assert (decision.label, decision.views) == (alone.label, alone.views)
        assert decision.predicted_losses == pytest.approx(alone.predicted_losses, rel=1e-5)
        assert decision.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        assert (decision.reason, decision.late, decision.index) == ("policy", False, 7)


@settings(deadline=None, max_examples=100)
@given(
    grays=gray_levels(25),
    policy=st.sampled_from(("center", "hflip", "all", "top:3+flip", "top:2+flip@0.9", "hflip@0.5")),
    budget=st.floats(0.007, 0.5),
)
@pytest.mark.slow
def test_never_past_the_deadline_and_no_object_twice_before_each_once(
    grays: list[int], policy: str, budget: float
) -> None:
    device = Device(policy, budget)
    started = device.clock.now
    decisions = device.decide(grays)
    counts = [len(decision.views) for decision in decisions]
    assert device.clock.now - started <= budget + 1e-9
    assert not any(decision.late for decision in decisions)
    assert counts[0] >= 1
    if 0 in counts:
        assert max(counts) == 1
        assert counts == sorted(counts, reverse=True)  # the last boxes go without
        assert {decision.reason for decision in decisions if not decision.views} == {"undecided"}
    assert sum(device.engine.sizes) == sum(counts)
    assert set(device.engine.sizes) <= set(BATCH_SIZES)
    for decision in decisions:
        assert float(decision.probabilities.sum()) == pytest.approx(1, abs=1e-5)
        assert bool(decision.label) == bool(decision.views)
        assert (decision.reason == "policy") <= (len(decision.views) == decision.planned_views)


@settings(deadline=None, max_examples=60)
@given(
    grays=gray_levels(20),
    policy=st.sampled_from(("center", "hflip", "all")),
    budgets=st.lists(st.floats(0.007, 0.4), min_size=2),
)
@pytest.mark.slow
def test_more_time_never_gives_fewer_views(grays: list[int], policy: str, budgets: list[float]) -> None:
    totals = [sum(len(each.views) for each in Device(policy, budget).decide(grays)) for budget in sorted(budgets)]
    assert totals == sorted(totals)


def test_the_first_views_of_all_run_in_few_batches_and_then_where_losses_are_high() -> None:
    device = Device("top:3", budget=0.001 * 2 + 0.0002 * 15 + 0.004 + 0.03 + 0.001)
    grays = [250, 0, 10, 5, 0, 3, 8, 0, 2, 1, 7, 200]
    decisions = device.decide(grays)
    assert device.engine.sizes[0] == 12
    counts = [len(decision.views) for decision in decisions]
    assert 12 < sum(counts) < 36
    assert [gray for gray, count in zip(grays, counts, strict=True) if count > 1] == [250, 200]


def test_in_a_hurry_each_object_is_run_as_it_is_before_views_are_ranked() -> None:
    device = Device("top:2", budget=0.001 + 0.0002 * 3 + 2 * 0.004 + 5 * 0.002 + 0.0005)
    decisions = device.decide([0, 130, 250])
    assert device.engine.sizes == [3, 2]
    assert [decision.views[0] for decision in decisions] == ["identity"] * 3
    assert [len(decision.views) for decision in decisions] == [1, 2, 2]
    assert decisions[2].views[1] == tuple(VIEWS)[-1]  # the best one by prediction
    assert len(decisions[2].predicted_losses) == 2


def test_a_confident_object_leaves_its_time_to_the_others() -> None:
    device = Device("hflip@0.9")
    decisions = device.decide([255, 255])
    assert [decision.reason for decision in decisions] == ["early_exit", "early_exit"]
    assert device.engine.sizes == [2]


def test_one_view_is_run_even_past_the_deadline_and_the_rest_is_said() -> None:
    decisions = Device("hflip", budget=0.001).decide([10, 100, 200])
    assert [decision.reason for decision in decisions] == ["past_deadline", "undecided", "undecided"]
    assert [decision.label for decision in decisions] == ["a", "", ""]
    assert [decision.confidence for decision in decisions[1:]] == [0, 0]
    assert all(decision.late for decision in decisions)


def test_without_time_for_the_loss_predictor_views_are_not_ranked() -> None:
    device = Device("top:3", budget=0.0085)
    decisions = device.decide([10, 200])
    assert {decision.reason for decision in decisions} == {"no_time_to_rank"}
    assert {decision.views for decision in decisions} == {("identity",)}
    assert {decision.predicted_losses for decision in decisions} == {()}
    assert device.predictor.sizes == []


def test_views_are_not_ranked_where_none_could_follow() -> None:
    device = Device("top:1", budget=0.001 + 0.0002 * 2 + 3 * 0.004 + 4 * 0.002)
    decisions = device.decide([10, 200, 90])
    assert {decision.reason for decision in decisions} == {"no_time_to_rank"}
    assert device.predictor.sizes == []


def test_no_boxes_no_decisions() -> None:
    assert Device("hflip").perceiver.objects(np.zeros((4, 4, 3), np.uint8), []) == []


@settings(deadline=None)
@given(
    call=st.floats(0, 1), view=st.floats(1e-3, 1), most=st.integers(1, 40), times=st.lists(st.floats(0, 40), min_size=2)
)
@pytest.mark.slow
def test_batches_take_the_least_time(call: float, view: float, most: int, times: list[float]) -> None:
    costs = BatchCosts(lambda size: call + view * size, BATCH_SIZES, most, most, math.inf)
    for count in range(1, most + 1):
        division, rest = [], count
        while rest:
            division.append(costs.next_batch(rest))
            rest -= division[-1]
        assert sum(call + view * size for size in division) == pytest.approx(costs.seconds(count))
    fitting = [costs.fitting(most, each) for each in sorted(times)]
    assert fitting == sorted(fitting)
    assert costs.fitting(most, math.inf) == most


def test_gains_fall_from_view_to_view_and_follow_the_losses() -> None:
    policy = parse_policy("top:3")
    bad, good = (ObjectState(("identity",) * 3, (1.0,) * 3, (loss,) * 3) for loss in (2.0, 0.5))
    for state in (good, bad):
        state.add(np.array([1.0, 0.0], np.float32))
    assert bad.gain(1, 0.0) > bad.gain(2, 0.0) > 0
    assert most_promising([good, bad], policy)[0] == 1
    assert sorted(most_promising([good, bad], policy)) == [0, 0, 1, 1]
    assert entropy(np.full(4, 0.25, np.float32)) == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("boxes", "region"),
    [
        ([[1, 2, 5, 8]], Region(1, 2, 4, 6)),
        ([[-3.5, 0.2, 4.1, 99.0]], Region(0, 0, 5, 20)),
        (np.array([[28.5, 1, 40, 3]]), Region(28, 1, 2, 2)),
    ],
)
def test_boxes_are_clipped_to_whole_pixels_of_the_frame(boxes: Any, region: Region) -> None:
    assert regions_of(boxes, height=20, width=30) == [region]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 4, 4], [5, 5, 5, 9]], "box 1 is 5, 5, 5, 9, which covers nothing of the frame of 30 x 20 px"),
        ([[30, 0, 40, 9]], "box 0"),
        ([[8, 8, 2, 2]], "left, top, right and bottom"),
        ([[0, 0, math.nan, 4]], "box 0 has an edge that is no finite number"),
        ([0, 0, 4, 4], r"boxes are \[n, 4\].*got \[4\]"),
        ("boxes", "boxes are numbers"),
        ([[], [], []], r"boxes are \[n, 4\].*got \[3, 0\]"),
        ([[0, 0, 10**400, 4]], "boxes are numbers.*too large"),
        (np.array([[0, 0, 4 + 1j, 4]]), "boxes are numbers.*complex"),
        ([["0", "0", "4", "4"]], "boxes are numbers"),
        (np.array([[0, 0, 4, 4]], "datetime64[s]"), "boxes are numbers.*datetime"),
        (NeedsGradient(), "boxes are numbers.*got NeedsGradient: use detach"),
    ],
)
def test_bad_boxes_are_told_by_their_number(boxes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        regions_of(boxes, height=20, width=30)


@pytest.mark.parametrize("count", [None, 0, -1, True, 1.5, math.nan, "3", 2**63])
def test_the_number_of_boxes_is_checked(count: Any) -> None:
    with pytest.raises(UsageError, match="the number of boxes is"):
        load(BUNDLE, max_boxes=count)


def test_bad_images_are_told() -> None:
    with pytest.raises(UsageError, match="an image is a numpy array"):
        Device("hflip").perceiver.objects(None, [[0, 0, 1, 1]])  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_bundle_decides_on_boxes_as_on_their_images() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    boxes = [(0, 0, 40, 40), (30.5, 10, 90, 60), (60, 30, 96, 64)]
    with load(BUNDLE, policy="top:2+flip", precision="fp32", max_boxes=3) as perceiver:
        decisions = perceiver.objects(image, boxes)
        alone = perceiver.batch([region.crop(image) for region in regions_of(boxes, 64, 96)])
    assert [(each.label, each.views) for each in decisions] == [(each.label, each.views) for each in alone]
    for each, other in zip(decisions, alone, strict=True):
        assert each.probabilities == pytest.approx(other.probabilities, abs=1e-4)
