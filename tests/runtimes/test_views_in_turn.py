"""Where decisions are combined over the frames of an object, the best-ranked views take turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import allweather
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.region import Region
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.tta.confidence_model import ConfidenceModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Decision, Frame, Image, StageTimes

BUNDLE = Path(__file__).resolve().parents[2] / "samples" / "bundles" / "signs-robust"
LOSSES = st.lists(st.integers(0, 9), min_size=12, max_size=12)


def chosen(policy: Policy, losses: list[int], views_before: int) -> list[int]:
    values = np.array([losses], np.float32)
    return [int(each) for each in policy.choose(values, np.random.default_rng(0), views_before=[views_before])[0]]


@given(losses=LOSSES)
def test_the_four_best_views_take_turns_beginning_with_the_best(losses: list[int]) -> None:
    ranking = sorted(range(12), key=losses.__getitem__)
    assert [chosen(parse_policy("top:1"), losses, before) for before in range(8)] == [
        [each] for each in ranking[:4]
    ] * 2


@given(
    losses=LOSSES,
    views_before=st.integers(0, 99),
    policy=st.sampled_from(
        [
            parse_policy("top:1+flip"),
            parse_policy("top:2"),
            parse_policy("top:12"),
            replace(parse_policy("top:1"), confidence_model=ConfidenceModel((1.0,), (0.0,))),
        ]
    ),
)
def test_a_policy_of_more_views_or_with_a_confidence_model_keeps_to_the_best(
    losses: list[int], views_before: int, policy: Policy
) -> None:
    assert chosen(policy, losses, views_before) == chosen(policy, losses, 0)


def test_of_fewer_views_all_take_turns() -> None:
    policy = Policy("made by hand", "top", ("identity", "zoom1.2"), 1)
    assert [chosen(policy, [5, 3], before) for before in range(4)] == [[1], [0], [1], [0]]


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(3).integers(0, 256, (48, 48, 3), np.uint8)


def views_run(policy: str, image: Image, *, smooth: bool, boxes: int = 0) -> list[list[tuple[str, ...]]]:
    """Returns the views of each object of eight frames that are all alike."""
    found = np.array([[0, 0, 24, 24], [24, 24, 48, 48], [0, 24, 24, 48]])[:boxes]
    smoothing = allweather.Smoothing() if smooth else None
    result: list[list[tuple[str, ...]]] = [[] for _ in range(max(boxes, 1))]
    with allweather.load(BUNDLE, policy=policy, threads=1) as perceiver:
        detector = (lambda frame: found) if boxes else None
        decisions = list(allweather.watch([image] * 8, perceiver, detector=detector, smoothing=smoothing))
    for index, decision in enumerate(decisions):
        result[index % max(boxes, 1)].append(decision.views)
    return result


@pytest.mark.parametrize("boxes", [1, 3])
@pytest.mark.slow
def test_the_loop_runs_other_views_of_an_object_in_each_frame(image: Image, boxes: int) -> None:
    for alone, smooth in zip(
        views_run("top:1", image, smooth=False, boxes=boxes),
        views_run("top:1", image, smooth=True, boxes=boxes),
        strict=True,
    ):
        assert len(set(alone)) == 1
        assert smooth[0] == alone[0]
        assert len(set(smooth[:4])) == 4
        assert smooth[4:] == smooth[:4]


@pytest.mark.parametrize(("policy", "boxes"), [("center", 2), ("set:identity,zoom1.2", 2), ("top:2", 2), ("top:1", 0)])
def test_nothing_takes_turns_without_a_ranking_of_one_view_or_without_a_detector(
    image: Image, policy: str, boxes: int
) -> None:
    smooth, alone = (views_run(policy, image, smooth=smooth, boxes=boxes) for smooth in (True, False))
    assert smooth == alone


def decided(perceiver: Perceiver, index: int, region: Region | None = None, track: int | None = None) -> Decision:
    probabilities = np.full(len(perceiver.classes), 1 / len(perceiver.classes), np.float32)
    return Decision(
        perceiver.classes[0], float(probabilities[0]), probabilities, index, ("identity", "zoom1.2"), (),
        StageTimes(0, 0, 0, 0, 0, 0), 0.0, False, 0, region=region, track=track,
    )  # fmt: skip


def test_views_are_counted_for_each_object_as_long_as_it_is_remembered(image: Image) -> None:
    with allweather.load(BUNDLE, threads=1) as perceiver:
        smoother = Smoother(perceiver.classes)
        left, moved, right = Region(0, 0, 20, 20), Region(2, 0, 20, 20), Region(28, 28, 20, 20)
        for index, regions in enumerate(((left,), (moved, right), (left, right))):
            frame = Frame(image, index, index / 30)
            seen = [decided(perceiver, index, region) for region in regions]
            assert smoother.views_before(frame, seen) == ((0,), (2, 0), (4, 2))[index]
            smoother(frame, seen)
        tracked = [decided(perceiver, 3, left, track=5)]
        assert smoother.views_before(Frame(image, 3, 0.1), tracked) == (0,)
        assert smoother.views_before(Frame(image, 300, 10.0), [decided(perceiver, 300, left)]) == (0,)


@pytest.mark.parametrize("views_before", [(1,), (0,), [1, 2], None, "3", 1.5, -1, True, 2**70, np.array([3])])
def test_what_is_no_number_of_views_is_told_with_its_cure(image: Image, views_before: Any) -> None:
    with (
        allweather.load(BUNDLE, policy="top:1", threads=1) as perceiver,
        pytest.raises(allweather.UsageError, match=r"Smoother.views_before\(frame, seen\) returns one for each object"),
    ):
        perceiver.decide(Frame(image, 0, 0.0), views_before=views_before)


@pytest.mark.parametrize("views_before", [(1,), (1, 2, 3), 3, None, (1.5, 2), "ab", (-1, 0), iter((1, 2))])
def test_numbers_of_views_that_are_not_those_of_the_regions_are_told(image: Image, views_before: Any) -> None:
    regions = [Region(0, 0, 20, 20), Region(20, 20, 20, 20)]
    with (
        allweather.load(BUNDLE, policy="top:1", threads=1) as perceiver,
        pytest.raises(allweather.UsageError, match="for each of the 2 regions"),
    ):
        perceiver.decide_regions(Frame(image, 0, 0.0), regions, views_before=views_before)


def test_numbers_of_views_may_be_those_of_numpy(image: Image) -> None:
    regions = [Region(0, 0, 20, 20), Region(20, 20, 20, 20)]
    with allweather.load(BUNDLE, policy="top:1", threads=1) as perceiver:
        frame = Frame(image, 0, 0.0)
        listed, arrays = (
            [each.views for each in perceiver.decide_regions(frame, regions, views_before=before)]
            for before in ((2, 0), np.array([2, 0]))
        )
        assert listed == arrays
        assert perceiver.decide(frame, views_before=np.uint8(9)).views == perceiver.decide(frame, views_before=1).views
