"""What the sinks are told when a camera sees worse or better."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import decisions
import numpy as np
import pytest

from allweather.runtimes.cameras import Camera, camera_from, open_camera
from allweather.runtimes.errors import OutputError
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.sinks import Ended, JsonlSink, Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Decision, Frame, Image

DECIDER = FunctionDecider(lambda frame, skipped: decisions.decision(frame.index))


class EventSink(Sink):
    """Records decisions and events of health in the order in which they come, and raises what it is given with one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self.events: list[Event] = []
        self._error = error

    def write(self, frame: Frame, decision: Decision) -> None:
        self.calls.append(f"frame {frame.index}")

    def write_event(self, event: Event) -> None:
        if event.kind != "health":
            return
        self.calls.append(event.state)
        self.events.append(event)
        if self._error:
            raise self._error

    def close(self) -> None:
        self.calls.append("close")


class Footage(Camera):
    """A camera that gives images a quarter of a second apart."""

    def __init__(self, images: list[Image]) -> None:
        super().__init__("footage", clock=lambda: 1e6)
        self._images, self._index = images, -1

    def read(self) -> Frame | None:
        self._index += 1
        return (
            Frame(self._images[self._index], self._index, self._index / 4) if self._index < len(self._images) else None
        )


def clear_image(index: int) -> Image:
    return np.kron(np.random.default_rng(index % 4).integers(40, 220, (12, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def covered(seconds: int = 8) -> list[Image]:
    """A clear scene, a covered lens, and the scene again."""
    clear = [clear_image(index) for index in range(4 * seconds)]
    return [*clear, *([np.full((96, 128, 3), 128, np.uint8)] * len(clear)), *clear, *clear]


@pytest.mark.slow
def test_a_covered_lens_is_told_between_two_frames_and_kept_in_the_report() -> None:
    sink, stats = EventSink(), LoopStats()
    report = run(Footage(covered()), DECIDER, [sink], stats=stats)
    assert [(each.kind, each.source, each.state, each.reason) for each in sink.events] == [
        ("health", "footage", "blind", "covered"), ("health", "footage", "clear", ""),
    ]  # fmt: skip
    assert 8 < sink.events[0].time < 8 + 6
    assert sink.calls.index("blind") < sink.calls.index(f"frame {round(4 * sink.events[0].time)}")
    assert report.health == stats.health
    assert report.health
    assert report.health.state == "clear"
    assert report.health.measures.detail > 10


def test_a_folder_of_images_is_no_camera(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((20, 20, 3), np.uint8))
    with open_camera(str(tmp_path)) as camera:
        assert run(camera, DECIDER, []).health is None


def test_every_sink_gets_an_event_even_if_one_ends_the_loop() -> None:
    first, second = EventSink(Ended()), EventSink()
    run(Footage(covered()), DECIDER, [first, second])
    assert len(first.events) == len(second.events) == 1
    assert first.calls[-2:] == second.calls[-2:] == ["blind", "close"]


def test_an_error_of_a_sink_reaches_the_caller() -> None:
    sink = EventSink(OutputError("no broker"))
    with pytest.raises(OutputError, match="no broker"):
        run(Footage(covered()), DECIDER, [sink])
    assert sink.calls[-1] == "close"


def test_a_camera_that_works_is_not_told_of(tmp_path: Path) -> None:
    sink, log = EventSink(), tmp_path / "log.jsonl"
    run(camera_from([clear_image(0)] * 5), DECIDER, [sink, JsonlSink(log)])
    assert not sink.events
    assert len(log.read_text().splitlines()) == 5


@pytest.mark.slow
def test_events_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    sink = JsonlSink(log, source="footage", clock=lambda: 100.0, wall_clock=lambda: 112.5)
    run(Footage(covered()), DECIDER, [sink])
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line for line in lines if "event" in line]
    assert 20.5 < events[0].pop("time") < 26.5  # of the frame, not of the line
    assert events[0] == {"event": "health", "source": "footage", "state": "blind", "reason": "covered"}
    assert len(events) == 2
    assert all("label" in line for line in lines if "event" not in line)


def test_the_log_tells_that_a_camera_is_lost_and_back_and_not_that_it_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with decisions.opened(JsonlSink(log)) as sink:
        for state in ("connecting", "live", "waiting", "live", "ended"):
            sink.write_event(Event("connection", "front", state, "", 0.0))
    assert [json.loads(line)["state"] for line in log.read_text().splitlines()] == ["waiting", "live"]
