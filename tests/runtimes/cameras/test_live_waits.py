"""When LiveCamera connects again: after how long without a frame, and how long it waits between attempts."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from allweather.runtimes.cameras import live
from allweather.runtimes.cameras.base import Capture
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.errors import CameraError, StalledError, UsageError
from allweather.runtimes.types import Image


class Hanging:
    """Gives some frames, a millisecond apart, then hangs until an event is set, and ends."""

    fps: float | None = None
    endless = True

    def __init__(self, count: int, hang: threading.Event) -> None:
        self._left, self._hang = count, hang

    def grab(self) -> bool:
        time.sleep(0.001)
        self._left -= 1
        if self._left < 0:
            self._hang.wait(20)
        return self._left >= 0

    def retrieve(self) -> Image | None:
        return np.zeros((4, 4, 3), np.uint8)

    def close(self) -> None:
        """Nothing to close."""


def connection_times(frames: int) -> list[float]:
    """Returns when connections were made: one that gives `frames` frames and states no rate, and five without any."""
    hang = threading.Event()
    times: list[float] = []

    def connect() -> Hanging:
        times.append(time.monotonic())
        return Hanging(frames if len(times) == 1 else 0, hang)

    with LiveCamera(connect, "porch", rng=np.random.default_rng(0)) as porch, pytest.raises(StalledError):
        for _ in porch:
            pass
    hang.set()
    return times


@pytest.mark.slow
def test_the_rate_of_a_stream_that_states_none_is_learned_from_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALL_SECONDS", 20.0)
    monkeypatch.setattr(live, "MIN_STALL_SECONDS", 0.05)
    times = connection_times(live.MIN_FRAMES_FOR_RATE)
    assert times[-1] - times[0] < 20


@pytest.mark.slow
def test_a_few_frames_are_not_enough_to_learn_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(live, "MIN_STALL_SECONDS", 0.05)
    times = connection_times(live.MIN_FRAMES_FOR_RATE - 1)
    assert all(after - before > 0.25 for before, after in itertools.pairwise(times))


def waits_between(attempt: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the first twelve waits between failing attempts that take `attempt` seconds each."""
    waits: list[float] = []
    now = [0.0]

    def connect() -> Hanging:
        now[0] += attempt
        raise CameraError("no")

    porch = LiveCamera(connect, "porch", rng=np.random.default_rng(0), clock=lambda: now[0])

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 12

    with porch:
        monkeypatch.setattr(porch._stopping, "wait", wait)
        monkeypatch.setattr(porch._stopping, "is_set", lambda: len(waits) == 12)
        assert list(porch) == []
    return waits


def test_waits_grow_up_to_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waits_between(0.0, monkeypatch)
    assert 0.05 <= waits[0] <= 0.1
    assert all(0.5 <= seconds <= 1.0 for seconds in waits[5:])
    assert len(set(waits)) == 12


def test_an_attempt_that_timed_out_counts_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waits_between(1.5, monkeypatch)
    assert all(0.05 <= seconds <= 0.1 for seconds in waits)
    assert len(set(waits)) == 12


def test_a_video_that_stalls_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stalling(Hanging):
        fps = 100.0
        endless = False

        def grab(self) -> bool:
            if self._left == 5:
                time.sleep(0.5)  # a network share
            return super().grab()

    monkeypatch.setattr(live, "MIN_STALL_SECONDS", 0.05)
    done = threading.Event()
    done.set()
    video = Stalling(10, done)
    with LiveCamera(lambda: video, "porch", reconnects=False) as porch:
        assert [frame.index for frame in porch][-1] == 9
        assert porch.state.disconnects == 0


def test_a_slow_camera_does_not_count_as_hanging_while_its_frames_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MIN_STALL_SECONDS", 0.3)
    hang = threading.Event()

    class Slow(Hanging):
        fps = 10.0

        def grab(self) -> bool:
            time.sleep(0.1)
            return super().grab()

    with LiveCamera(lambda: Slow(12, hang), "porch", rng=np.random.default_rng(0)) as porch:
        frames = iter(porch)
        for _ in range(2):
            read = next(frames)
            time.sleep(0.45)  # longer than MIN_STALL_SECONDS; frames come meanwhile
            assert porch.latest(read).index > read.index
        assert next(frames) is not None
        assert porch.state.disconnects == 0
    hang.set()


def test_a_camera_that_never_gives_a_frame_fails_after_the_wait_that_was_asked_for() -> None:
    def connect() -> Capture:
        raise CameraError("there is no camera there")

    with LiveCamera(connect, "door", wait_seconds=0.3) as camera:
        started = time.monotonic()
        with pytest.raises(CameraError, match=r"there is no camera there \(waited for 0.3 s\)"):
            camera.read()
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_wait_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds above 0"):
        open_camera("rtsp://192.0.2.1/door", wait_seconds=seconds)
