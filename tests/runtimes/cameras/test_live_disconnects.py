"""Live cameras that are not there, are cut off, hang or come back with another size: without a camera."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.cameras import live as camera_live
from allweather.runtimes.cameras.live import CameraState, LiveCamera
from allweather.runtimes.cameras.playback import PacedCapture
from allweather.runtimes.errors import CameraError, DependencyError, StalledError
from allweather.runtimes.types import Drops, Image


class Cut:
    """Gives some frames, then ends, or hangs until it is told to go on."""

    fps: float | None = None
    endless = True

    def __init__(self, count: int, side: int = 4, hang: threading.Event | None = None) -> None:
        self._left, self._side, self._hang = count, side, hang
        self.closed = 0

    def grab(self) -> bool:
        time.sleep(0.001)
        self._left -= 1
        if self._left < 0 and self._hang:
            self._hang.wait(20)
        return self._left >= 0

    def retrieve(self) -> Image | None:
        return np.zeros((self._side, self._side, 3), np.uint8)

    def close(self) -> None:
        self.closed += 1


def camera(connect: Callable[[], Cut]) -> LiveCamera:
    return LiveCamera(connect, "porch", rng=np.random.default_rng(0))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_live, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(camera_live, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(camera_live, "WAKING_SECONDS", 0.01)
    monkeypatch.setattr(camera_live, "STALLED_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("camera ") for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]


@pytest.mark.usefixtures("quick")
def test_a_stream_that_is_cut_fifty_times_is_connected_fifty_times() -> None:
    made: list[Cut] = []

    def connect() -> Cut:
        made.append(Cut(3))
        return made[-1]

    seen = []
    with camera(connect) as porch:
        for frame in porch:
            seen.append(frame.index)
            if len(made) > 50:
                break
        assert porch.state.lost >= 50
        assert porch.skipped.source == porch.state.lost
    assert seen == sorted(set(seen))
    assert all(each.closed == 1 for each in made)


@pytest.mark.usefixtures("quick")
def test_a_camera_that_is_not_there_at_first_is_a_state_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = itertools.count()

    def connect() -> Cut:
        if next(attempts) < 5:
            raise CameraError("there is no camera on the porch; plug it in")
        return Cut(100)

    porch = camera(connect)
    assert porch.state == CameraState("porch", "connecting")
    states = []
    with caplog.at_level(logging.WARNING), porch:
        waits = (time.sleep(0.001) for _ in range(40))
        watcher = threading.Thread(target=lambda: states.extend(porch.state for _ in waits))
        watcher.start()
        next(iter(porch))
        watcher.join()
        assert (porch.state.phase, porch.state.connections, porch.state.lost) == ("live", 1, 0)
    assert "waiting" in {state.phase for state in states}
    assert [record.getMessage() for record in caplog.records] == [
        "there is no camera on the porch; plug it in; trying again until it is there", "the camera porch is back",
    ]  # fmt: skip
    assert porch.state.phase == "ended"


@pytest.mark.usefixtures("quick")
def test_another_size_after_the_break_is_taken_as_it_comes() -> None:
    sides = iter([4, 6])
    shapes = []
    with camera(lambda: Cut(2, next(sides))) as porch:
        for frame in porch:
            shapes.append(frame.image.shape)
            if shapes[-1] == (6, 6, 3):
                break
    assert shapes[0] == (4, 4, 3)


@pytest.mark.usefixtures("quick")
def test_a_connection_that_hangs_is_left_and_another_made() -> None:
    hang = threading.Event()
    made: list[Cut] = []

    def connect() -> Cut:
        made.append(Cut(2, hang=None if made else hang))
        return made[-1]

    with camera(connect) as porch:
        for _ in porch:
            if len(made) > 1:
                break
        assert porch.skipped.source >= 1
        hang.set()
    time.sleep(0.05)
    assert all(each.closed == 1 for each in made)


@pytest.mark.usefixtures("quick")
def test_a_driver_that_hangs_for_good_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_live, "STALLED_SECONDS", 0.02)
    hang = threading.Event()
    with camera(lambda: Cut(0, hang=hang)) as porch:
        with pytest.raises(StalledError, match="the camera porch hangs, and so did 5 connections made anew"):
            next(iter(porch))
        hang.set()


def test_what_no_waiting_mends_reaches_the_reader() -> None:
    def connect() -> Cut:
        raise DependencyError("this cv2 is built without GStreamer")

    with pytest.raises(DependencyError, match="without GStreamer"):
        next(iter(camera(connect)))


def test_a_film_that_is_damaged_is_not_tried_for_ever() -> None:
    class Film(Cut):
        endless = False

        def retrieve(self) -> Image | None:
            raise CameraError("the video holds no readable frame")

    film = Film(3)
    with pytest.raises(CameraError, match="no readable frame"):
        next(iter(camera(lambda: film)))
    assert film.closed == 1


def test_closing_ends_the_wait_for_a_camera_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_live, "FIRST_WAIT", 20.0)
    monkeypatch.setattr(camera_live, "LONGEST_WAIT", 20.0)

    def connect() -> Cut:
        raise CameraError("no")

    porch = camera(connect)
    reader = threading.Thread(target=lambda: list(porch))
    reader.start()
    while porch.state.phase != "waiting":
        time.sleep(0.001)
    began = time.monotonic()
    porch.close()
    reader.join(5)
    assert not reader.is_alive()
    assert time.monotonic() - began < 1


def test_closing_a_camera_that_is_read_elsewhere_is_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    porch = camera(lambda: Cut(10**6))
    reader = threading.Thread(target=lambda: list(porch))
    reader.start()
    while porch.state.phase != "live":
        time.sleep(0.001)
    porch.close()
    reader.join(5)
    assert not caplog.records
    assert porch.skipped.source == 0


def test_the_freshest_frame_takes_the_place_of_one_that_waited() -> None:
    with camera(lambda: Cut(1000)) as porch:
        frame = next(iter(porch))
        time.sleep(0.05)
        newer = porch.latest(frame)
        assert newer.index > frame.index
        assert porch.latest(newer) is newer or porch.latest(newer).index > newer.index
        assert porch.skipped.superseded >= newer.index - frame.index - 1
        assert porch.skipped.source == 0


# ---- a recording as a camera


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.01, 0.03, 0.5]), min_size=1, max_size=40))
def test_a_recording_keeps_its_speed_and_never_bursts(stalls: list[float]) -> None:
    clock = Clock()
    capture = PacedCapture(Cut(1000), 25, clock=clock, sleep=clock.sleep)
    moments = []
    for stall in stalls:
        assert capture.grab()
        moments.append(clock.now)
        clock.now += stall
    for before, after, stall in zip(moments, moments[1:], stalls, strict=False):
        assert after - before == pytest.approx(max(stall, 0.04), abs=1e-9) or after - before >= 0.04 - 1e-9
    assert capture.fps == 25
    assert Drops().total == 0
