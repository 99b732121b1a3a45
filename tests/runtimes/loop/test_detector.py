"""Deciding on the objects that a detector finds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from red_engine import RedEngine

import allweather
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.errors import DetectorError, StalledError, UsageError
from allweather.runtimes.loop import detector as detector_module
from allweather.runtimes.loop.detector import ObjectDetector, found_objects
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.types import Frame, Image


@pytest.fixture
def perceiver() -> Iterator[Perceiver]:
    with Perceiver(RedEngine(), ("red", "blue"), InputSpec(8, 8)) as perceiver:
        yield perceiver


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def half_red(count: int) -> list[Image]:
    """Returns images whose left half is red and whose right half is blue."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20, 0] = image[:, 20:, 2] = 255
    return [image.copy() for _ in range(count)]


def test_each_object_of_each_frame_is_decided_on(perceiver: Perceiver) -> None:
    boxes = [[[0, 0, 10, 10], [25, 5, 45, 30]], [], np.array([[21.5, 0.2, 39.9, 8.0]])]
    found = iter(boxes)
    shown = list(allweather.watch(half_red(3), perceiver, detector=lambda image: next(found), frames=True))
    assert [[decision.label for decision in decisions] for _, decisions in shown] == [["red", "blue"], [], ["blue"]]
    assert [frame.index for frame, _ in shown] == [0, 1, 2]
    assert shown[0][1][1].region == Region(25, 5, 15, 15)  # clipped to the frame
    assert shown[2][1][0].region == Region(21, 0, 19, 8)
    assert all(decision.times.detect > 0 for _, decisions in shown for decision in decisions)


@pytest.mark.parametrize("draw", [lambda image: image.fill(0), lambda image: cv2.rectangle(image, (0, 0), (9, 9), 0)])
def test_what_a_detector_draws_is_not_decided_on(draw: Any) -> None:
    frame = Frame(half_red(1)[0], 0, 0.0)
    with (
        closing(ObjectDetector(lambda image: (draw(image), [[0, 0, 10, 10]])[1])) as detector,
        pytest.raises(DetectorError, match=r"its image is read-only, so draw on image\.copy"),
    ):
        detector.find(frame)
    assert np.array_equal(frame.image, half_red(1)[0])
    frame.image[:] = 0  # the caller's stays as it was


def test_the_most_certain_boxes_come_first_and_tracks_are_kept(perceiver: Perceiver) -> None:
    detections = SimpleNamespace(
        xyxy=np.array([[0, 0, 9, 9], [30, 0, 39, 9]]), confidence=np.array([0.2, 0.9]), tracker_id=np.array([4, 7])
    )
    decisions = list(allweather.watch(half_red(1), perceiver, detector=lambda image: detections))
    assert [(decision.label, decision.track) for decision in decisions] == [("blue", 7), ("red", 4)]
    ultralytics = SimpleNamespace(xyxy=np.array([[0, 0, 9, 9]]), conf=np.array([0.2]), id=None)
    (decision,) = allweather.watch(half_red(1), perceiver, detector=lambda image: ultralytics)
    assert (decision.label, decision.track) == ("red", None)


def test_tracks_that_no_float_can_hold_stay_apart(perceiver: Perceiver) -> None:
    tracks = np.array([2**60 + 1, 2**60 + 2])
    found = SimpleNamespace(xyxy=np.array([[0, 0, 9, 9], [30, 0, 39, 9]]), tracker_id=tracks)
    decisions = list(allweather.watch(half_red(1), perceiver, detector=lambda _: found))
    assert [each.track for each in decisions] == tracks.tolist()


def test_a_detector_that_ends_the_program_ends_it(perceiver: Perceiver) -> None:
    def leave(_: object) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(allweather.watch(half_red(1), perceiver, detector=leave))


def test_named_regions_are_decided_on(perceiver: Perceiver) -> None:
    regions = {"left": Region(0, 0, 10, 10), "right": Region(30, 0, 10, 10)}
    decisions = list(allweather.watch(half_red(2), perceiver, region=regions))
    assert [(each.index, each.name, each.label) for each in decisions] == [
        (0, "left", "red"), (0, "right", "blue"), (1, "left", "red"), (1, "right", "blue"),
    ]  # fmt: skip


def test_frames_on_which_the_detector_fails_are_dropped_and_counted(perceiver: Perceiver) -> None:
    calls = iter(range(100))

    def failing(image: Image) -> list[list[int]]:
        if next(calls) % 3 == 1:
            raise ZeroDivisionError("no luck")
        return [[0, 0, 5, 5]]

    stats = LoopStats()
    report = run(camera_from(half_red(6)), perceiver, [], detector=failing, stats=stats)
    assert (report.decided, report.drops.detector, report.frames) == (4, 2, 6)


class Unreadable:
    """What some detector returns, whose boxes cannot be read."""

    @property
    def xyxy(self) -> Any:
        raise KeyError("no boxes")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "the detector must return boxes: boxes are numbers"),
        ([[1, 2, 3]], "boxes are .n, 4."),
        ([[0, 0, float("nan"), 5]], "box 0 has an edge that is no finite number"),
        (
            SimpleNamespace(xyxy=np.zeros((2, 4)), confidence=np.zeros(3)),
            "confidence is a number for each box",
        ),
        (
            SimpleNamespace(xyxy=np.zeros((1, 4)), tracker_id=[None]),
            "tracker_id is a finite number for each box; got nan",
        ),
        (SimpleNamespace(xyxy=np.zeros((1, 4)), tracker_id=[1.5]), "tracker_id is a whole number of 64 bits for each"),
        (SimpleNamespace(xyxy=np.zeros((1, 4)), tracker_id=[1e300]), "tracker_id is a whole number of 64 bits for"),
        (SimpleNamespace(xyxy=np.zeros((1, 4)), tracker_id=[2**70]), "tracker_id is a whole number of 64 bits for"),
        (Unreadable(), "reading them failed with KeyError: 'no boxes'"),
        (SimpleNamespace(xyxy=np.zeros((1, 4)), tracker_id=["a"]), "tracker_id is a number for each box; got list"),
    ],
)
def test_a_detector_that_never_gives_boxes_ends_the_loop(perceiver: Perceiver, returned: Any, message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        list(allweather.watch(half_red(12), perceiver, detector=lambda image: returned))


def test_a_detector_that_hangs_is_left_behind(perceiver: Perceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "FIRST_CALL_SECONDS", 0.05)
    released = threading.Event()
    threads: list[threading.Thread] = []

    def hanging(image: Image) -> list[list[int]]:
        threads.append(threading.current_thread())
        released.wait(10)
        return []

    with pytest.raises(StalledError, match="3 times in a row; start the program again"):
        list(allweather.watch(half_red(12), perceiver, detector=hanging))
    released.set()
    for thread in threads:
        thread.join()


def test_boxes_outside_of_the_frame_are_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    finder = ObjectDetector(lambda image: [[0, 0, 5, 5], [50, 50, 60, 60], [7, 7, 7, 9]])
    for _ in range(3):
        objects, seconds = finder.find(Frame(half_red(1)[0], 0, 0.0))
        assert [each.region for each in objects] == [Region(0, 0, 5, 5)]
        assert seconds > 0
    finder.close()
    assert len(caplog.records) == 1


@given(
    boxes=st.lists(st.lists(st.floats(-50, 90), min_size=4, max_size=4), max_size=8),
    confidences=st.lists(st.floats(0, 1), min_size=8, max_size=8),
)
@settings(max_examples=60)
def test_any_boxes_become_regions_inside_of_the_frame(boxes: list[list[float]], confidences: list[float]) -> None:
    assume(not boxes or np.abs(np.array(boxes) - 0.5).max() > 1)  # as shares of the frame they are refused
    found = SimpleNamespace(xyxy=np.reshape(boxes, (-1, 4)), confidence=np.array(confidences[: len(boxes)]))
    objects, outside = found_objects(found, 20, 40)
    assert len(objects) + outside == len(boxes)
    image = np.zeros((20, 40, 3), np.uint8)
    for each in objects:
        assert each.region.crop(image).size > 0


def test_the_time_of_the_detector_counts_when_old_frames_are_dropped() -> None:
    now = [0.0]
    finder = ObjectDetector(lambda image: [], clock=lambda: now.append(now[-1] + 0.05) or now[-1])
    frame = Frame(half_red(1)[0], 0, 10.0)
    assert finder.as_if_detected(frame).captured == 10.0
    finder.find(frame)
    assert finder.as_if_detected(frame).captured == pytest.approx(9.9, abs=0.06)
    finder.close()


def test_a_detector_and_a_region_are_too_much(perceiver: Perceiver) -> None:
    with pytest.raises(UsageError, match="leave out either the region or the detector"):
        list(allweather.watch(half_red(1), perceiver, detector=lambda image: [], region=Region(0, 0, 5, 5)))
    with pytest.raises(UsageError, match="detector is a function"):
        list(allweather.watch(half_red(1), perceiver, detector=[[0, 0, 5, 5]]))  # type: ignore[call-overload]
