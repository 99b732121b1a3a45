"""The loop, with cameras and deciders made here: what it hands on, how it ends, what it leaves behind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras.open import Camera, LiveCamera, camera_from, open_camera
from allweather.runtimes.errors import CameraError, OutputError, UsageError
from allweather.runtimes.loop.loop import FunctionDecider, run, watch
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import CallbackSink, Ended, Sink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.types import Decision, Drops, Frame, Image, StageTimes


@FunctionDecider
def decide(frame: Frame, skipped: int) -> Decision:
    """A perceiver that sees the brightness."""
    label = str(int(frame.image.mean()))
    return Decision(
        label, 1.0, np.ones(1, np.float32), frame.index, ("identity",), (), StageTimes(0, 0, 0, 0, 0, 0), 0.01,
        frame.index % 2 == 1, skipped,
    )  # fmt: skip


def pictures(count: int) -> list[Image]:
    return [np.full((48, 64, 3), value, np.uint8) for value in range(count)]


class Noting(Sink):
    """Notes what happens to it, and fails when told."""

    def __init__(self, *, write: BaseException | None = None, at: int = 0, close: OutputError | None = None) -> None:
        self.notes: list[str] = []
        self.regions: list[Region | None] = []
        self.shapes: list[tuple[int, ...]] = []
        self._write, self._at, self._close = write, at, close

    def open(self) -> None:
        self.notes.append("open")

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        if self._write is not None and frame.index == self._at:
            raise self._write
        self.notes.append(decision.label)
        self.regions.append(region)
        self.shapes.append(frame.image.shape)

    def close(self) -> None:
        self.notes.append("close")
        if self._close is not None:
            raise self._close


class Ticking:
    """A live source that gives a frame each millisecond until it has given `count`."""

    fps, endless = None, False

    def __init__(self, count: int = 1_000_000) -> None:
        self._left = count
        self.closed = 0

    def grab(self) -> bool:
        time.sleep(0.001)
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> Image | None:
        return np.zeros((4, 6, 3), np.uint8)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_every_decision_reaches_every_sink_in_order() -> None:
    sinks = [Noting(), Noting()]
    run(camera_from(pictures(4)), decide, sinks)
    for sink in sinks:
        assert sink.notes == ["open", "0", "1", "2", "3", "close"]


def test_the_report_says_what_happened() -> None:
    ticks = iter(range(100))
    report = run(camera_from(pictures(4)), decide, [Noting()], stats=LoopStats(clock=lambda: float(next(ticks))))
    assert (report.frames, report.decided, report.late, report.drops) == (4, 4, 2, Drops())
    assert report.decision_time
    assert report.decision_time.maximum == 0
    assert report.stages["sink"].mean == 1.0
    assert (report.views_run, report.mean_views) == (((1, 4),), 1.0)
    assert report.frame_age
    assert report.frame_age.mean == pytest.approx(0.01)
    assert report.seconds == 22.0  # five looks at the clock a frame, one for what is no frame, one at the end


def test_damaged_images_are_in_the_report_and_in_the_decisions(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), pictures(4)[index])
    (tmp_path / "1.png").write_bytes(b"damaged")
    skipped = []
    with open_camera(str(tmp_path)) as camera:
        report = run(camera, decide, [CallbackSink(lambda frame, decision: skipped.append(decision.skipped))])
    assert (report.frames, report.decided, report.drops) == (4, 3, Drops(decode=1))
    assert skipped == [0, 1, 0]


def test_a_slow_decider_of_a_live_camera_gets_the_newest_and_hears_of_the_rest() -> None:
    def slow(frame: Frame, skipped: int) -> Decision:
        time.sleep(0.01)
        return decide.decide(frame, skipped)

    seen: list[tuple[int, int]] = []
    report = run(
        LiveCamera(lambda: Ticking(100), "ticking"), FunctionDecider(slow),
        [CallbackSink(lambda frame, decision: seen.append((frame.index, decision.skipped)))],
    )  # fmt: skip
    assert 0 < report.decided < 100
    assert report.frames == 100
    assert report.drops.superseded == 100 - report.decided
    for (before, _), (index, skipped) in pairwise(seen):
        assert skipped == index - before - 1


def test_a_region_is_decided_on_and_the_sinks_see_the_whole() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:24, 16:48] = 200
    region = Region(16, 8, 32, 16)
    sink = Noting()
    run(camera_from([image]), decide, [sink], region=region)
    assert sink.notes == ["open", "200", "close"]
    assert sink.regions == [region]
    assert sink.shapes == [(48, 64, 3)]


def test_a_region_outside_the_frame_is_refused() -> None:
    sink = Noting()
    with pytest.raises(UsageError, match="outside the frame"):
        run(camera_from(pictures(1)), decide, [sink], region=Region(60, 0, 10, 10))
    assert sink.notes == ["open", "close"]


def test_a_limit_ends_the_loop_and_the_camera_goes_on() -> None:
    with camera_from(pictures(5)) as camera:
        assert run(camera, decide, [], limit=2).decided == 2
        sink = Noting()
        assert run(camera, decide, [sink]).decided == 3
    assert sink.notes == ["open", "2", "3", "4", "close"]


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_that_is_none_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=str(limit)):
        run(camera_from(pictures(1)), decide, [], limit=limit)


def test_a_camera_without_a_block_is_closed_by_the_loop() -> None:
    source = Ticking()
    assert run(LiveCamera(lambda: source, "ticking"), decide, [], limit=3).decided == 3
    assert source.closed == 1


def test_a_camera_is_closed_when_a_sink_does_not_open() -> None:
    class Shut(Noting):
        def open(self) -> None:
            raise OutputError("no display")

    source, fine, shut, never = Ticking(), Noting(), Shut(), Noting()
    with pytest.raises(OutputError, match="no display"):
        run(LiveCamera(lambda: source, "ticking"), decide, [fine, shut, never])
    assert (fine.notes, shut.notes, never.notes) == (["open", "close"], [], [])
    assert source.closed == 1


@pytest.mark.parametrize("where", ["sink", "decide", "camera"])
def test_ctrl_c_closes_all_and_passes_through(where: str, tmp_path: Path) -> None:
    def interrupted(frame: Frame, skipped: int) -> Decision:
        if where == "decide" and frame.index == 3:
            raise KeyboardInterrupt
        return decide.decide(frame, skipped)

    def images() -> Iterator[Image]:
        for index, image in enumerate(pictures(6)):
            if where == "camera" and index == 3:
                raise KeyboardInterrupt
            yield image

    first, last = Noting(), Noting(write=KeyboardInterrupt() if where == "sink" else None, at=3)
    film, log = tmp_path / "out" / "film.mp4", tmp_path / "log.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(camera_from(images()), FunctionDecider(interrupted), [first, VideoSink(film, 10), JsonlSink(log), last])
    assert first.notes[-1] == last.notes[-1] == "close"
    count = 4 if where == "sink" else 3
    assert len(list(open_camera(str(film)))) == count
    assert len(log.read_text().splitlines()) == count
    assert [path.name for path in film.parent.iterdir()] == ["film.mp4"]


def test_a_sink_may_end_the_loop_and_the_others_still_get_the_decision() -> None:
    first, window, last = Noting(), Noting(write=Ended(), at=1), Noting()
    report = run(camera_from(pictures(5)), decide, [first, window, last])
    assert report.decided == 2
    assert first.notes == last.notes == ["open", "0", "1", "close"]
    assert window.notes == ["open", "0", "close"]


def test_a_signal_handler_may_end_the_loop() -> None:
    def ending(frame: Frame, skipped: int) -> Decision:
        if frame.index == 2:
            raise Ended
        return decide.decide(frame, skipped)

    sink = Noting()
    assert run(camera_from(pictures(5)), FunctionDecider(ending), [sink]).decided == 2
    assert sink.notes == ["open", "0", "1", "close"]


def test_a_sink_that_fails_is_heard_of_after_the_others_are_closed() -> None:
    first, broken, last = Noting(), Noting(write=OutputError("disk full"), at=1), Noting()
    with pytest.raises(OutputError, match="disk full"):
        run(camera_from(pictures(5)), decide, [first, broken, last])
    assert first.notes == ["open", "0", "1", "close"]
    assert last.notes == ["open", "0", "close"]
    assert broken.notes == ["open", "0", "close"]


def test_a_sink_that_fails_to_close_does_not_keep_others_open() -> None:
    sinks = [Noting(), Noting(close=OutputError("no video")), Noting()]
    with pytest.raises(OutputError, match="no video"):
        run(camera_from(pictures(1)), decide, sinks)
    assert all(sink.notes == ["open", "0", "close"] for sink in sinks)


def test_the_first_trouble_is_raised_and_later_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    sinks = [Noting(close=OutputError("second")), Noting(write=KeyboardInterrupt())]
    with caplog.at_level(logging.ERROR), pytest.raises(KeyboardInterrupt):
        run(camera_from(pictures(1)), decide, sinks)
    assert [record.getMessage() for record in caplog.records] == ["second"]


def test_a_camera_that_breaks_closes_the_sinks() -> None:
    def images() -> Iterator[Image]:
        yield from pictures(3)
        raise CameraError("no more frames")

    sink = Noting()
    with pytest.raises(CameraError, match="no more frames"):
        run(camera_from(images()), decide, [sink])
    assert sink.notes[0] == "open"
    assert sink.notes[-1] == "close"


def test_watch_gives_frames_with_their_decisions() -> None:
    pairs = list(watch(camera_from(pictures(3)), decide))
    assert [(frame.index, decision.index) for frame, decision in pairs] == [(0, 0), (1, 1), (2, 2)]


def test_closing_watch_closes_the_camera() -> None:
    source = Ticking()
    watching = watch(LiveCamera(lambda: source, "ticking"), decide)
    next(watching)
    watching.close()
    assert source.closed == 1


def test_watch_never_started_takes_nothing() -> None:
    source = Ticking()
    camera: Camera = LiveCamera(lambda: source, "ticking")
    watch(camera, decide).close()
    camera.close()
    assert source.closed == 0  # it was never connected to


def test_watch_leaves_open_what_the_caller_holds() -> None:
    with camera_from(pictures(3)) as camera:
        for _ in watch(camera, decide):
            break
        assert [frame.index for frame, _ in watch(camera, decide)] == [1, 2]
