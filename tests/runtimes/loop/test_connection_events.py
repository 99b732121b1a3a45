"""The sinks are told when a camera is connected, lost, back, and at its end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from decisions import decision

from allweather.runtimes.cameras import LiveCamera, camera_from
from allweather.runtimes.errors import CameraError, OutputError
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import run
from allweather.runtimes.sinks import Ended, Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Decision, Frame, Image


class Recording(Sink):
    """Records the frames and the events, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.events: list[Event] = []

    def write(self, frame: Frame, decision: Decision) -> None:
        self.calls.append(str(frame.index))

    def write_event(self, event: Event) -> None:
        assert event.kind == "connection"
        self.calls.append(event.state)
        self.events.append(event)


class Short:
    """A live source with some frames and, unless it is endless, an end."""

    fps = None

    def __init__(self, frames: int, *, endless: bool) -> None:
        self._left, self.endless = frames, endless

    def grab(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> Image:
        return np.zeros((4, 6, 3), np.uint8)

    def close(self) -> None:
        pass


@FunctionDecider
def decide(frame: Frame, skipped: int) -> Decision:
    return decision(frame.index)


def connections() -> Iterator[Short | None]:
    yield from (None, Short(1, endless=True), None, Short(1, endless=False))


def test_a_camera_that_is_away_lost_and_back_is_told_about() -> None:
    waiting, sink = connections(), Recording()

    def connect() -> Short:
        if source := next(waiting):
            return source
        raise CameraError("there is no camera")

    run(LiveCamera(connect, "front"), decide, [sink])
    assert sink.calls == ["connecting", "waiting", "live", "0", "waiting", "live", "1", "ended"]
    assert {event.source for event in sink.events} == {"front"}
    assert sink.events[1].reason == "there is no camera"
    assert not sink.events[2].reason
    times = [event.time for event in sink.events]
    assert times == sorted(times)


def test_a_source_that_is_always_there_is_live_from_its_first_frame_to_its_end() -> None:
    sink = Recording()
    run(camera_from([np.zeros((4, 6, 3), np.uint8)] * 2), decide, [sink])
    assert sink.calls == ["live", "0", "1", "ended"]


def test_a_loop_that_is_left_early_tells_no_end() -> None:
    sink = Recording()
    run(camera_from([np.zeros((4, 6, 3), np.uint8)] * 2), decide, [sink], limit=1)
    assert sink.calls == ["live", "0"]


def test_a_sink_that_cannot_take_an_event_ends_the_loop() -> None:
    class Full(Recording):
        def write_event(self, event: Event) -> None:
            raise OutputError("full")

    with pytest.raises(OutputError, match="full"):
        run(camera_from([np.zeros((4, 6, 3), np.uint8)]), decide, [Full()])


def test_a_sink_that_ends_the_loop_at_an_event_keeps_it_from_no_other_sink() -> None:
    class Ending(Recording):
        def write_event(self, event: Event) -> None:
            raise Ended

    sink = Recording()
    run(camera_from([np.zeros((4, 6, 3), np.uint8)]), decide, [Ending(), sink])
    assert sink.calls == ["live"]
