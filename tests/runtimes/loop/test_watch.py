"""`allweather.watch` with cameras and sinks of a user's own: all is closed however the iteration ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from red_engine import RedEngine

import allweather
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import CameraError, EngineError, OutputError, UsageError
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.types import Decision, Frame, Image


class MyCamera(Camera):
    """A user's camera: `count` frames."""

    def __init__(self, count: int = 4, fails_at: int | None = None) -> None:
        super().__init__("mine")
        self.opened, self.released, self._index, self._count, self._fails_at = 0, 0, -1, count, fails_at

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Frame | None:
        self._index += 1
        if self._index == self._fails_at:
            raise CameraError("the cable is cut")
        if self._index == self._count:
            return None
        return Frame(np.zeros((8, 8, 3), np.uint8), self._index, self.clock())

    def release(self) -> None:
        self.released += 1


class MySink(Sink):
    """A user's sink: keeps the indices of the frames, and raises an error at one of them or when it is closed."""

    def __init__(self, error: BaseException | None = None, at: int = 1, close: OutputError | None = None) -> None:
        self.opened, self.closed, self.indices = 0, 0, list[int]()
        self._error, self._at, self._close_error = error, at, close

    def open(self) -> None:
        self.opened += 1

    def write(self, frame: Frame, decision: Decision) -> None:
        if self._error and frame.index == self._at:
            raise self._error
        self.indices.append(frame.index)

    def close(self) -> None:
        self.closed += 1
        if self._close_error:
            raise self._close_error


@pytest.fixture
def perceiver() -> Iterator[Perceiver]:
    with Perceiver(RedEngine(), ("red", "blue"), InputSpec(8, 8)) as perceiver:
        yield perceiver


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def check_closed(camera: MyCamera, *sinks: MySink) -> None:
    assert (camera.opened, camera.released) == (1, 1)
    for sink in sinks:
        assert (sink.opened, sink.closed) == (1, 1)


def test_each_sink_gets_every_decision_before_it_is_yielded(perceiver: Perceiver) -> None:
    camera, sinks = MyCamera(), [MySink(), MySink()]
    for decision in allweather.watch(camera, perceiver, sinks=sinks):
        assert [sink.indices[-1] for sink in sinks] == [decision.index] * 2
    assert [sink.indices for sink in sinks] == [[0, 1, 2, 3]] * 2
    check_closed(camera, *sinks)


def test_nothing_is_opened_before_the_first_decision_is_asked_for(perceiver: Perceiver) -> None:
    camera, sink = MyCamera(), MySink()
    allweather.watch(camera, perceiver, sinks=[sink])
    assert (camera.opened, sink.opened) == (0, 0)


def test_leaving_the_iteration_closes_all(perceiver: Perceiver) -> None:
    camera, sink = MyCamera(), MySink()
    for _ in allweather.watch(camera, perceiver, sinks=[sink]):
        break
    assert sink.indices == [0]
    check_closed(camera, sink)


def test_an_error_in_the_body_closes_all(perceiver: Perceiver) -> None:
    camera, sink = MyCamera(), MySink()

    def failing_program() -> None:
        for _ in allweather.watch(camera, perceiver, sinks=[sink]):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_program()
    assert sink.indices == [0]
    check_closed(camera, sink)


def test_an_error_of_a_sink_is_raised_and_closes_all(perceiver: Perceiver) -> None:
    camera, sinks = MyCamera(), [MySink(OutputError("the disk is full")), MySink()]
    indices = []
    with pytest.raises(OutputError, match="the disk is full"):
        indices.extend(decision.index for decision in allweather.watch(camera, perceiver, sinks=sinks))
    assert sinks[1].indices == [0]
    check_closed(camera, *sinks)


def test_a_sink_that_cannot_be_opened_closes_the_camera(perceiver: Perceiver) -> None:
    class Unopenable(MySink):
        def open(self) -> None:
            raise OutputError("no display")

    camera, first = MyCamera(), MySink()
    with pytest.raises(OutputError, match="no display"):
        next(iter(allweather.watch(camera, perceiver, sinks=[first, Unopenable()])))
    check_closed(camera, first)


def test_a_sink_that_cannot_be_closed_is_raised_at_the_end(perceiver: Perceiver) -> None:
    camera, sink = MyCamera(), MySink(close=OutputError("no video"))
    with pytest.raises(OutputError, match="no video"):
        list(allweather.watch(camera, perceiver, sinks=[sink]))
    check_closed(camera, sink)


def test_a_sink_that_cannot_be_closed_is_logged_when_the_caller_leaves(
    perceiver: Perceiver, caplog: pytest.LogCaptureFixture
) -> None:
    camera, sink = MyCamera(), MySink(close=OutputError("no video"))
    with caplog.at_level(logging.ERROR):
        for _ in allweather.watch(camera, perceiver, sinks=[sink]):
            break
    assert "no video" in caplog.text
    check_closed(camera, sink)


def test_a_sink_may_end_the_iteration(perceiver: Perceiver) -> None:
    camera, sinks = MyCamera(), [MySink(Ended(), at=2), MySink()]
    assert [decision.index for decision in allweather.watch(camera, perceiver, sinks=sinks)] == [0, 1]
    assert sinks[1].indices == [0, 1, 2]
    check_closed(camera, *sinks)


def test_an_error_of_the_camera_is_raised_and_closes_all(perceiver: Perceiver) -> None:
    camera, sink = MyCamera(fails_at=2), MySink()
    with pytest.raises(CameraError, match="the cable is cut"):
        list(allweather.watch(camera, perceiver, sinks=[sink]))
    assert sink.indices == [0, 1]
    check_closed(camera, sink)


def test_a_camera_that_the_caller_holds_open_stays_open(perceiver: Perceiver) -> None:
    with MyCamera() as camera:
        for _ in allweather.watch(camera, perceiver):
            break
        assert isinstance(camera, MyCamera)
        assert camera.released == 0
        assert [decision.index for decision in allweather.watch(camera, perceiver)] == [1, 2, 3]
    assert camera.released == 1


def test_gaps_in_the_indices_are_frames_skipped(perceiver: Perceiver) -> None:
    class Dropping(MyCamera):
        def read(self) -> Frame | None:
            frame = super().read()
            return frame and Frame(frame.image, 3 * frame.index, frame.captured)

    skipped = [decision.skipped for decision in allweather.watch(Dropping(), perceiver)]
    assert skipped == [0, 2, 2, 2]


def test_a_file_may_be_named_by_text_or_path(perceiver: Perceiver, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((8, 8, 3), (255, 0, 0), np.uint8))
    for source in (tmp_path, str(tmp_path), tmp_path / "blue.png"):
        assert [decision.label for decision in allweather.watch(source, perceiver)] == ["blue"]


def test_images_of_opencv_are_converted(perceiver: Perceiver) -> None:
    images = [np.full((8, 8, 3), (255, 0, 0), np.uint8)]
    shown: list[Image] = []
    sink = CallbackSink(lambda frame, decisions: shown.append(frame.image))
    assert [decision.label for decision in allweather.watch(images, perceiver)] == ["red"]
    assert [decision.label for decision in allweather.watch(images, perceiver, sinks=[sink], bgr=True)] == ["blue"]
    assert shown[0][0, 0].tolist() == [0, 0, 255]


def test_a_region_is_decided_on(perceiver: Perceiver) -> None:
    image = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    image[:8, :8] = (0, 0, 255)
    labels = [decision.label for decision in allweather.watch([image], perceiver, region=Region(0, 0, 8, 8))]
    assert labels == ["blue"]


def test_wrong_arguments_are_explained(perceiver: Perceiver, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"perceiver.*allweather\.load.*got str"):
        next(iter(allweather.watch(tmp_path, "signs.aw")))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"sink.*derived from allweather\.Sink.*got builtin"):
        next(iter(allweather.watch([], perceiver, sinks=[print])))  # type: ignore[list-item]
    with pytest.raises(UsageError, match=r"iterable of images.*got NoneType"):
        next(iter(allweather.watch(None, perceiver)))  # type: ignore[arg-type]
    camera = MyCamera()
    with pytest.raises(UsageError, match="bgr"):
        next(iter(allweather.watch(camera, perceiver, bgr=True)))
    assert camera.opened == 0


class Unprepared(MyCamera):
    """A camera whose author forgot the base class."""

    def __init__(self) -> None:  # without super().__init__()
        self.frames = 1


def test_what_a_user_forgets_is_told_in_a_line(perceiver: Perceiver) -> None:
    for arguments, message in (
        ({"region": (1, 2, 3, 4)}, r"allweather.Region\(x=.*got \(1, 2, 3, 4\)"),
        ({"sinks": MySink()}, r"sinks=\[MySink"),
        ({"sinks": None}, "sinks is a list of sinks; got NoneType"),
    ):
        with pytest.raises(UsageError, match=message):
            next(allweather.watch([], perceiver, **arguments))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"Unprepared.__init__ must call super\(\).__init__\(\)"):
        next(allweather.watch(Unprepared(), perceiver))


def test_a_perceiver_that_has_failed_on_all_frames_is_told(perceiver: Perceiver, sample_bundle: Path) -> None:
    with allweather.load(sample_bundle, engine="onnx", policy="center") as closed:
        images = [np.zeros((8, 8, 3), np.uint8)] * 2
        assert len(list(allweather.watch(images, closed))) == 2
    with pytest.raises(EngineError, match="has been closed"):
        list(allweather.watch(images, closed))
