"""Temporal smoothing by its properties: on streams of probabilities with drops, changes of object and broken values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.temporal import Smoother, Smoothing
from allweather.runtimes.types import Decision, Floats, Frame, StageTimes

PIXEL = np.zeros((1, 1, 3), np.uint8)
NO_TIMES = StageTimes(0, 0, 0, 0, 0, 0)
FPS = 30.0


def frame(index: int) -> Frame:
    return Frame(PIXEL, index, index / FPS)


def decision(probabilities: Floats, index: int = 0) -> Decision:
    best = int(np.nan_to_num(probabilities).argmax())
    confidence = float(probabilities[best])
    return Decision(str(best), confidence, probabilities, index, ("identity",), (), NO_TIMES, 0.0, False, 0)


def undecided(num_classes: int) -> Decision:
    equal = np.full(num_classes, 1 / num_classes, np.float32)
    return Decision("", 0.0, equal, 0, (), (), NO_TIMES, 0.0, False, 0, reason="undecided")


def sure(label: int, confidence: float, num_classes: int) -> Floats:
    """The confidence for one class, and equal probabilities of the others."""
    rest = (1 - confidence) / (num_classes - 1)
    return np.where(np.arange(num_classes) == label, confidence, rest).astype(np.float32)


def names(num_classes: int) -> list[str]:
    return [str(index) for index in range(num_classes)]


def smoothed(stream: list[Floats], smoothing: Smoothing | None = None) -> list[Decision]:
    smoother = Smoother(names(len(stream[0])), smoothing)
    return [smoother(frame(index), [decision(each, index)])[0] for index, each in enumerate(stream)]


SMOOTHINGS = st.builds(
    Smoothing,
    object_frames=st.floats(2, 1e6),
    outlier_rate=st.floats(1e-6, 0.999),
    stable_frames=st.integers(1, 5),
    max_gap_frames=st.integers(1, 50),
)
BROKEN = st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -1.0, 1e-45])


@st.composite
def streams(draw: st.DrawFn) -> list[Floats]:
    num_classes = draw(st.integers(1, 6))
    values = st.lists(BROKEN | st.floats(0, 1, width=32), min_size=num_classes, max_size=num_classes)
    return [np.array(draw(values), np.float32) for _ in range(draw(st.integers(1, 12)))]


@settings(max_examples=40)
@given(streams(), SMOOTHINGS)
@pytest.mark.slow
def test_probabilities_sum_to_one_whatever_comes(stream: list[Floats], smoothing: Smoothing) -> None:
    for each in smoothed(stream, smoothing)[1:]:  # the first one is that of its frame
        assert each.probabilities.dtype == np.float32
        assert np.isfinite(each.probabilities).all()
        assert each.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert each.confidence == pytest.approx(each.probabilities[int(each.label)], abs=1e-6)
        assert each.confidence == pytest.approx(each.probabilities.max(), abs=1e-6)


@settings(max_examples=30)
@given(st.integers(2, 100), st.data())
def test_a_constant_stream_keeps_its_label_and_gains_confidence(num_classes: int, data: st.DataObject) -> None:
    confidence = data.draw(st.floats(1 / num_classes + 0.01, 1))
    decisions = smoothed([sure(1, confidence, num_classes)] * 20)
    assert {each.label for each in decisions} == {"1"}
    assert decisions[-1].confidence >= min(confidence, 0.99)  # forgetting leaves no certainty
    assert [each.frames for each in decisions] == list(range(1, 21))
    assert [each.stable for each in decisions] == [False, False] + [True] * 18


@settings(max_examples=40)
@given(streams(), st.randoms(use_true_random=False), SMOOTHINGS)
@pytest.mark.slow
def test_the_order_of_the_classes_means_nothing(stream: list[Floats], random: object, smoothing: Smoothing) -> None:
    order = np.random.default_rng(random.getrandbits(32)).permutation(len(stream[0]))  # type: ignore[attr-defined]
    straight, permuted = smoothed(stream, smoothing), smoothed([each[order] for each in stream], smoothing)
    for one, other in zip(straight[1:], permuted[1:], strict=True):
        np.testing.assert_allclose(other.probabilities, one.probabilities[order], atol=1e-5)


@settings(max_examples=30)
@given(st.integers(2, 100), st.floats(0.9, 1), st.integers(1, 60), st.data())
def test_a_change_of_object_is_followed_within_three_frames(
    num_classes: int, confidence: float, before: int, data: st.DataObject
) -> None:
    after = [sure(1, data.draw(st.floats(0.9, 1)), num_classes) for _ in range(3)]
    decisions = smoothed([sure(0, confidence, num_classes)] * before + after)
    assert decisions[-1].label == "1"
    assert decisions[-1].frame_label == "1"
    assert decisions[-1].frames <= 3


@settings(max_examples=30)
@given(st.integers(2, 100), st.floats(0.9, 1), st.integers(5, 40), st.floats(0.5, 1))
def test_one_wrong_frame_does_not_change_the_label(
    num_classes: int, confidence: float, before: int, wrong: float
) -> None:
    right = sure(0, confidence, num_classes)
    decisions = smoothed([right] * before + [sure(1, wrong, num_classes)] + [right] * 2)
    assert {each.label for each in decisions} == {"0"}
    assert decisions[-1].stable


@settings(max_examples=30)
@given(st.floats(5, 1e4), st.floats(0, 1), st.integers(2, 1000))
def test_no_frame_alone_changes_the_label_if_outliers_are_more_frequent_than_new_objects(
    object_frames: float, extra: float, num_classes: int
) -> None:
    lowest = 1.5 / object_frames
    smoothing = Smoothing(object_frames=object_frames, outlier_rate=lowest + extra * (0.9 - lowest))
    first, last = sure(0, 1, num_classes), sure(1, 1, num_classes)
    assert smoothed([first] * 9 + [last], smoothing)[-1].label == "0"


def test_the_first_decision_on_an_object_is_that_of_its_frame() -> None:
    own = decision(np.array([0.2, 0.5, 0.3], np.float32))
    (first,) = Smoother(names(3))(frame(0), [own])
    assert (first.label, first.confidence, first.frames, first.stable) == (own.label, own.confidence, 1, False)
    assert first.probabilities is own.probabilities


@settings(max_examples=20)
@given(st.integers(1, 40))
def test_dropped_frames_count_as_frames_that_say_nothing(gap: int) -> None:
    smoothing, first, last = Smoothing(max_gap_frames=50), sure(0, 0.99, 4), sure(1, 0.7, 4)
    dropped, silent = Smoother(names(4), smoothing), Smoother(names(4), smoothing)
    dropped(frame(0), [decision(first)])
    for index in range(gap + 1):
        given_ = first if index == 0 else last if index == gap else np.full(4, 0.25, np.float32)
        (expected,) = silent(frame(index), [decision(given_)])
    (result,) = dropped(frame(gap), [decision(last)])
    np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("later", "forgotten"),
    [(frame(31), False), (frame(32), True), (Frame(PIXEL, 2, 7.0), True), (frame(0), True), (frame(1), False)],
)
def test_objects_that_were_not_seen_for_long_are_forgotten(later: Frame, forgotten: bool) -> None:
    smoother, named = Smoother(names(2)), [replace(decision(sure(0, 0.9, 2)), name="gate")]
    smoother(frame(0), named)
    smoother(frame(1), []) if later.index == 1 else smoother(frame(1), named)
    (result,) = smoother(later, named)
    assert (result.frames == 1) == forgotten


def test_an_undecided_object_keeps_its_label_until_it_is_forgotten() -> None:
    smoother = Smoother(names(2), Smoothing(max_gap_frames=3))
    first = smoother(frame(0), [undecided(2)])[0]
    assert (first.label, first.frames, first.stable) == ("", 0, False)
    assert smoother(frame(1), [decision(sure(1, 0.9, 2))])[0].label == "1"
    results = [smoother(frame(index), [undecided(2)])[0] for index in range(2, 7)]
    assert [each.label for each in results] == ["1", "1", "1", "", ""]
    assert [each.frames for each in results[:3]] == [1, 1, 1]
    confidences = [each.confidence for each in results[:3]]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] < 0.9
    assert {each.frame_label for each in results} == {""}
    assert {each.reason for each in results} == {"undecided"}


def test_objects_are_told_apart_by_track_name_and_box() -> None:
    left, right = Region(0, 0, 20, 20), Region(100, 0, 20, 20)
    objects: list[dict[str, Any]] = [
        {"track": 7, "region": left}, {"track": 8, "region": left}, {"name": "gate", "region": left},
        {"name": "gate", "region": right, "track": 7}, {"region": left}, {"region": right}, {},
    ]  # fmt: skip
    smoother = Smoother(names(7))
    for index in range(4):
        decisions = []
        for label, each in enumerate(objects):
            values = dict(each)
            if "region" in each:  # they move, and boxes come in any order
                values["region"] = Region(each["region"].x + 3 * index, 0, 20, 20)
            decisions.append(replace(decision(sure(label, 0.9, 7), index), **values))
        results = smoother(frame(index), decisions[:: 1 if index % 2 else -1])
        assert sorted(each.label for each in results) == names(7)
        assert {each.frames for each in results} == {index + 1}
    assert smoother.num_objects == 7


def test_a_box_that_jumps_is_another_object() -> None:
    smoother = Smoother(names(3))
    for index in range(5):
        smoother(frame(index), [replace(decision(sure(0, 0.99, 3)), region=Region(0, 0, 20, 20))])
    (result,) = smoother(frame(5), [replace(decision(sure(1, 0.5, 3)), region=Region(50, 0, 20, 20))])
    assert (result.label, result.frames) == ("1", 1)


def test_a_box_that_passes_where_another_object_was_seen_last_is_still_the_same_one() -> None:
    smoother, first, second = Smoother(names(2)), Region(60, 0, 20, 20), [Region(x, 0, 20, 20) for x in range(0, 80, 6)]
    for index in range(3):
        smoother(frame(index), [replace(decision(sure(0, 0.99, 2)), region=first)])
    for index, box in enumerate(second):
        (result,) = smoother(frame(3 + index), [replace(decision(sure(1, 0.99, 2)), region=box)])
        assert (result.label, result.frames) == ("1", index + 1)


def test_a_detector_may_miss_a_box_once() -> None:
    smoother, box = Smoother(names(2)), replace(decision(sure(0, 0.99, 2)), region=Region(0, 0, 20, 20))
    found = [smoother(frame(index), [box] if seen == "x" else []) for index, seen in enumerate("xx.xx..x")]
    assert [each[0].frames for each in found if each] == [1, 2, 3, 4, 1]


def test_two_decisions_with_one_track() -> None:
    smoother = Smoother(names(2))
    for index in range(3):
        both = [replace(decision(sure(label, 0.9, 2)), track=1) for label in (0, 1)]
        first, second = smoother(frame(index), both)
        assert (first.label, first.frames) == ("0", index + 1)
        assert (second.label, second.confidence, second.stable) == ("1", both[1].confidence, False)


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 30))
@pytest.mark.slow
def test_memory_is_bounded(max_objects: int, per_frame: int) -> None:
    smoother = Smoother(names(2), Smoothing(max_objects=max_objects))
    for index in range(10):
        tracks = range(index * per_frame // 2, index * per_frame // 2 + per_frame)
        smoother(frame(index), [replace(decision(sure(0, 0.9, 2)), track=track) for track in tracks])
        assert smoother.num_objects <= max_objects
    for index in range(10, 60):
        smoother(frame(index), [replace(decision(sure(0, 0.9, 2)), track=index)])
    assert smoother.num_objects <= min(max_objects, 31)


@pytest.mark.parametrize("classes", ["stop", 3, None])
def test_classes_that_are_no_names(classes: Any) -> None:
    """One text would be as many classes as it has letters."""
    with pytest.raises(UsageError, match="a smoother takes class names"):
        Smoother(classes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PIXEL, []), "a smoother takes a Frame and its decisions; got ndarray"),
        ((frame(0), decision(sure(0, 0.9, 3))), r"a smoother takes a list of the decisions on a frame; got Decision\("),
        ((frame(0), ["stop"]), r"a smoother takes a list of the decisions on a frame; got \['stop'\]"),
        ((frame(0), None), "a smoother takes a list of the decisions on a frame; got None"),
    ],
)
def test_frames_and_decisions_that_are_none(arguments: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Smoother(names(3))(*arguments)
    with pytest.raises(UsageError, match="the settings of a smoother are a Smoothing; got float"):
        Smoother(names(3), 0.5)  # type: ignore[arg-type]


def test_classes_of_another_perceiver() -> None:
    with pytest.raises(UsageError, match="for 2 classes, and a decision has 3 probabilities; give it the classes"):
        Smoother(names(2))(frame(0), [decision(sure(0, 0.9, 3))])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"object_frames": 1}, "object frames of the smoothing must be finite and at least 2; got 1"),
        ({"object_frames": float("nan")}, "object frames .* got nan"),
        ({"object_frames": float("inf")}, "object frames .* got inf"),
        ({"object_frames": "30"}, "object frames must be a number; got '30'"),
        ({"outlier_rate": 0}, "outlier rate of the smoothing must be above 0 and below 1; got 0"),
        ({"stable_frames": 0}, "stable frames of the smoothing must be at least 1; got 0"),
        ({"stable_frames": 2.5}, "stable frames must be a whole number; got 2.5"),
        ({"max_gap_frames": 0}, "max gap frames .* at least 1"),
        ({"max_gap_seconds": 0}, "max gap seconds .* above 0"),
        ({"min_overlap": 1.5}, "min overlap .* above 0 and at most 1; got 1.5"),
        ({"max_objects": -1}, "max objects .* at least 1; got -1"),
    ],
)
def test_values_that_settings_refuse(values: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{words}"):
        Smoothing(**values)  # type: ignore[arg-type]
