"""The loop, with cameras and deciders of the tests: what the sinks get, how it ends, and what is closed then."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras import Camera, LiveCamera, camera_from, open_camera
from allweather.runtimes.errors import CameraError, OutputError, UsageError
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import decide_frames, run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.region import Region
from allweather.runtimes.sinks import CallbackSink, Ended, JsonlSink, Sink, VideoSink
from allweather.runtimes.types import Decision, Drops, Frame, Image, StageTimes


@FunctionDecider
def decide(frame: Frame, skipped: int) -> Decision:
    """Decides by the brightness of the frame, which becomes the label."""
    label = str(int(frame.image.mean()))
    return Decision(
        label, 1.0, np.ones(1, np.float32), frame.index, ("identity",), (), StageTimes(0, 0, 0, 0, 0, 0), 0.01,
        frame.index % 2 == 1, skipped,
    )  # fmt: skip


def images(count: int) -> list[Image]:
    return [np.full((48, 64, 3), value, np.uint8) for value in range(count)]


class RecordingSink(Sink):
    """Records the calls of its methods, and raises errors that it is given."""

    def __init__(self, *, write: BaseException | None = None, at: int = 0, close: OutputError | None = None) -> None:
        self.calls: list[str] = []
        self.regions: list[Region | None] = []
        self.shapes: list[tuple[int, ...]] = []
        self._write, self._at, self._close = write, at, close

    def open(self) -> None:
        self.calls.append("open")

    def write(self, frame: Frame, decision: Decision) -> None:
        if self._write is not None and frame.index == self._at:
            raise self._write
        self.calls.append(decision.label)
        self.regions.append(decision.region)
        self.shapes.append(frame.image.shape)

    def close(self) -> None:
        self.calls.append("close")
        if self._close is not None:
            raise self._close


class Ticking:
    """A live source that gives `count` frames, a millisecond apart."""

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
    sinks = [RecordingSink(), RecordingSink()]
    run(camera_from(images(4)), decide, sinks)
    for sink in sinks:
        assert sink.calls == ["open", "0", "1", "2", "3", "close"]


def test_the_report_counts_and_measures() -> None:
    ticks = itertools.count()  # each look at the clock takes a second
    report = run(camera_from(images(4)), decide, [RecordingSink()], stats=LoopStats(clock=lambda: float(next(ticks))))
    assert (report.frames, report.decided, report.late, report.drops) == (4, 4, 2, Drops())
    assert report.decision_time
    assert report.decision_time.maximum == 0
    assert {"capture", "sink"} < set(report.stages)
    assert report.stages["sink"].count == report.stages["capture"].count == 4
    assert 0 < report.stages["sink"].mean * 4 < report.seconds
    assert (report.views_per_frame, report.mean_views) == (((1, 4),), 1.0)
    assert report.frame_age
    assert report.frame_age.mean == pytest.approx(0.01)


def test_damaged_images_are_in_the_report_and_in_the_decisions(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), images(4)[index])
    (tmp_path / "1.png").write_bytes(b"damaged")
    skipped = []
    with open_camera(str(tmp_path)) as camera:
        report = run(camera, decide, [CallbackSink(lambda frame, decisions: skipped.append(decisions[0].skipped))])
    assert (report.frames, report.decided, report.drops) == (4, 3, Drops(decode=1))
    assert skipped == [0, 1, 0]


def test_a_slow_decider_of_a_live_camera_gets_the_newest_frame_and_the_number_skipped() -> None:
    def slow(frame: Frame, skipped: int) -> Decision:
        time.sleep(0.01)
        return decide.decide(frame, skipped)

    decided: list[tuple[int, int]] = []
    report = run(
        LiveCamera(lambda: Ticking(100), "ticking"), FunctionDecider(slow),
        [CallbackSink(lambda frame, decisions: decided.append((frame.index, decisions[0].skipped)))],
    )  # fmt: skip
    assert 0 < report.decided < 100
    assert report.frames == 100
    assert report.drops.superseded == 100 - report.decided
    for (before, _), (index, skipped) in itertools.pairwise(decided):
        assert skipped == index - before - 1


def test_the_region_is_decided_on_and_the_sinks_get_the_whole_frame() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:24, 16:48] = 200
    region = Region(16, 8, 32, 16)
    sink = RecordingSink()
    run(camera_from([image]), decide, [sink], region=region)
    assert sink.calls == ["open", "200", "close"]
    assert sink.regions == [region]
    assert sink.shapes == [(48, 64, 3)]


def test_a_region_outside_the_frame_is_refused() -> None:
    sink = RecordingSink()
    with pytest.raises(UsageError, match="outside the frame"):
        run(camera_from(images(1)), decide, [sink], region=Region(60, 0, 10, 10))
    assert sink.calls == ["open", "close"]


def test_a_limit_ends_the_loop_and_the_next_loop_continues() -> None:
    with camera_from(images(5)) as camera:
        assert run(camera, decide, [], limit=2).decided == 2
        sink = RecordingSink()
        assert run(camera, decide, [sink]).decided == 3
    assert sink.calls == ["open", "2", "3", "4", "close"]


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=str(limit)):
        run(camera_from(images(1)), decide, [], limit=limit)


def test_a_camera_without_a_block_is_closed_by_the_loop() -> None:
    source = Ticking()
    assert run(LiveCamera(lambda: source, "ticking"), decide, [], limit=3).decided == 3
    assert source.closed == 1


def test_a_camera_is_closed_when_a_sink_does_not_open() -> None:
    class Unopenable(RecordingSink):
        def open(self) -> None:
            raise OutputError("no display")

    source, first, broken, last = Ticking(), RecordingSink(), Unopenable(), RecordingSink()
    with pytest.raises(OutputError, match="no display"):
        run(LiveCamera(lambda: source, "ticking"), decide, [first, broken, last])
    assert (first.calls, broken.calls, last.calls) == (["open", "close"], [], [])
    assert source.closed == 1


@pytest.mark.parametrize("where", ["sink", "decide", "camera"])
def test_ctrl_c_closes_all_and_passes_through(where: str, tmp_path: Path) -> None:
    def interrupted(frame: Frame, skipped: int) -> Decision:
        if where == "decide" and frame.index == 3:
            raise KeyboardInterrupt
        return decide.decide(frame, skipped)

    def failing_images() -> Iterator[Image]:
        for index, image in enumerate(images(6)):
            if where == "camera" and index == 3:
                raise KeyboardInterrupt
            yield image

    first, last = RecordingSink(), RecordingSink(write=KeyboardInterrupt() if where == "sink" else None, at=3)
    video, log = tmp_path / "out" / "video.mp4", tmp_path / "log.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(
            camera_from(failing_images()),
            FunctionDecider(interrupted),
            [first, VideoSink(video, 10), JsonlSink(log), last],
        )
    assert first.calls[-1] == last.calls[-1] == "close"
    count = 4 if where == "sink" else 3
    assert len(list(open_camera(str(video)))) == count
    assert len(log.read_text().splitlines()) == count
    assert [path.name for path in video.parent.iterdir()] == ["video.mp4"]


def test_a_sink_may_end_the_loop_and_the_others_still_get_the_decision() -> None:
    first, window, last = RecordingSink(), RecordingSink(write=Ended(), at=1), RecordingSink()
    report = run(camera_from(images(5)), decide, [first, window, last])
    assert report.decided == 2
    assert first.calls == last.calls == ["open", "0", "1", "close"]
    assert window.calls == ["open", "0", "close"]


def test_a_signal_handler_may_end_the_loop() -> None:
    def ending(frame: Frame, skipped: int) -> Decision:
        if frame.index == 2:
            raise Ended
        return decide.decide(frame, skipped)

    sink = RecordingSink()
    assert run(camera_from(images(5)), FunctionDecider(ending), [sink]).decided == 2
    assert sink.calls == ["open", "0", "1", "close"]


def test_the_error_of_a_sink_is_raised_after_all_are_closed() -> None:
    first, broken, last = RecordingSink(), RecordingSink(write=OutputError("disk full"), at=1), RecordingSink()
    with pytest.raises(OutputError, match="disk full"):
        run(camera_from(images(5)), decide, [first, broken, last])
    assert first.calls == ["open", "0", "1", "close"]
    assert last.calls == ["open", "0", "close"]
    assert broken.calls == ["open", "0", "close"]


def test_a_sink_that_fails_to_close_does_not_keep_others_open() -> None:
    sinks = [RecordingSink(), RecordingSink(close=OutputError("no video")), RecordingSink()]
    with pytest.raises(OutputError, match="no video"):
        run(camera_from(images(1)), decide, sinks)
    assert all(sink.calls == ["open", "0", "close"] for sink in sinks)


def test_the_first_error_is_raised_and_later_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    sinks = [RecordingSink(close=OutputError("second")), RecordingSink(write=KeyboardInterrupt())]
    with caplog.at_level(logging.ERROR), pytest.raises(KeyboardInterrupt):
        run(camera_from(images(1)), decide, sinks)
    assert [record.getMessage() for record in caplog.records] == ["second"]


def test_an_error_of_the_camera_closes_the_sinks() -> None:
    def failing_images() -> Iterator[Image]:
        yield from images(3)
        raise CameraError("no more frames")

    sink = RecordingSink()
    with pytest.raises(CameraError, match="no more frames"):
        run(camera_from(failing_images()), decide, [sink])
    assert sink.calls[0] == "open"
    assert sink.calls[-1] == "close"


def test_decide_frames_yields_frames_with_their_decisions() -> None:
    pairs = list(decide_frames(camera_from(images(3)), decide))
    assert [(frame.index, decision.index) for frame, (decision,) in pairs] == [(0, 0), (1, 1), (2, 2)]


def test_closing_decide_frames_closes_the_camera() -> None:
    source = Ticking()
    decisions = decide_frames(LiveCamera(lambda: source, "ticking"), decide)
    next(decisions)
    decisions.close()
    assert source.closed == 1


def test_decide_frames_opens_nothing_before_its_first_frame() -> None:
    source = Ticking()
    camera: Camera = LiveCamera(lambda: source, "ticking")
    decide_frames(camera, decide).close()
    camera.close()
    assert source.closed == 0  # it was never connected to


def test_decide_frames_leaves_a_camera_open_that_the_caller_holds() -> None:
    with camera_from(images(3)) as camera:
        for _ in decide_frames(camera, decide):
            break
        assert [frame.index for frame, _ in decide_frames(camera, decide)] == [1, 2]
