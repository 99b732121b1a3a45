"""LiveCamera on sources that are missing, are cut off, hang or come back with another size, without a camera."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from allweather.runtimes.cameras import live
from allweather.runtimes.cameras.base import CameraState
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.errors import CameraError, DependencyError, StalledError
from allweather.runtimes.types import Image


class Cut:
    """Gives some frames, then ends, or hangs until an event is set."""

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
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MIN_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(live, "MAX_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(live, "STALL_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("camera ") for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]


@pytest.mark.usefixtures("short_waits")
def test_a_stream_that_is_cut_fifty_times_is_connected_fifty_times() -> None:
    captures: list[Cut] = []

    def connect() -> Cut:
        captures.append(Cut(3))
        return captures[-1]

    indices = []
    with camera(connect) as porch:
        for frame in porch:
            indices.append(frame.index)
            if len(captures) > 50:
                break
        assert porch.state.disconnects >= 50
        assert porch.drops.source == porch.state.disconnects
    assert indices == sorted(set(indices))
    assert all(each.closed == 1 for each in captures)


@pytest.mark.usefixtures("short_waits")
def test_a_camera_that_is_missing_at_first_is_waited_for_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
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
        assert (porch.state.phase, porch.state.connections, porch.state.disconnects) == ("live", 1, 0)
    assert "waiting" in {state.phase for state in states}
    missing, back = (record.getMessage() for record in caplog.records)
    assert "there is no camera on the porch" in missing
    assert "porch is back" in back
    assert porch.state.phase == "ended"


@pytest.mark.usefixtures("short_waits")
def test_frames_may_have_another_size_after_a_reconnection() -> None:
    sides = iter([4, 6])
    shapes = []
    with camera(lambda: Cut(2, next(sides))) as porch:
        for frame in porch:
            shapes.append(frame.image.shape)
            if shapes[-1] == (6, 6, 3):
                break
    assert shapes[0] == (4, 4, 3)


@pytest.mark.usefixtures("short_waits")
def test_a_connection_that_hangs_is_replaced() -> None:
    hang = threading.Event()
    captures: list[Cut] = []

    def connect() -> Cut:
        captures.append(Cut(2, hang=None if captures else hang))
        return captures[-1]

    with camera(connect) as porch:
        for _ in porch:
            if len(captures) > 1:
                break
        assert porch.drops.source >= 1
        hang.set()
    time.sleep(0.05)
    assert all(each.closed == 1 for each in captures)


@pytest.mark.usefixtures("short_waits")
def test_a_driver_that_hangs_for_good_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALL_SECONDS", 0.02)
    hang = threading.Event()
    with camera(lambda: Cut(0, hang=hang)) as porch:
        with pytest.raises(StalledError, match="porch hangs, and so did 5 new connections"):
            next(iter(porch))
        hang.set()


@pytest.mark.usefixtures("short_waits")
def test_a_camera_whose_frames_are_all_damaged_is_let_go_and_connected_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STALL_SECONDS", 0.05)

    class Damaged(Cut):  # such as motion JPEG over a bad cable
        def retrieve(self) -> Image | None:
            return super().retrieve() if len(captures) > 8 else None

    captures: list[Damaged] = []

    def connect() -> Damaged:
        captures.append(Damaged(10**6))
        return captures[-1]

    with camera(connect) as porch:  # more often than connections may hang
        assert next(iter(porch)).image.shape == (4, 4, 3)
        assert [each.closed for each in captures[:-2]] == [1] * (len(captures) - 2)
        assert porch.drops.decode > 8
    assert "the frames of the camera porch cannot be decoded; check its cable, or set another format" in caplog.text
    assert "porch hangs" not in caplog.text


def test_an_error_that_waiting_cannot_cure_reaches_the_reader() -> None:
    def connect() -> Cut:
        raise DependencyError("this cv2 is built without GStreamer")

    with pytest.raises(DependencyError, match="without GStreamer"):
        next(iter(camera(connect)))


def test_a_damaged_video_is_not_tried_again() -> None:
    class Video(Cut):
        endless = False

        def retrieve(self) -> Image | None:
            raise CameraError("the video holds no readable frame")

    video = Video(3)
    with pytest.raises(CameraError, match="no readable frame"):
        next(iter(camera(lambda: video)))
    assert video.closed == 1


def test_closing_ends_the_wait_for_a_camera_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MIN_WAIT_SECONDS", 20.0)
    monkeypatch.setattr(live, "MAX_WAIT_SECONDS", 20.0)

    def connect() -> Cut:
        raise CameraError("no")

    porch = camera(connect)
    reader = threading.Thread(target=lambda: list(porch))
    reader.start()
    while porch.state.phase != "waiting":
        time.sleep(0.001)
    started = time.monotonic()
    porch.close()
    reader.join(5)
    assert not reader.is_alive()
    assert time.monotonic() - started < 1


def test_closing_a_camera_during_a_read_is_no_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    porch = camera(lambda: Cut(10**6))
    reader = threading.Thread(target=lambda: list(porch))
    reader.start()
    while porch.state.phase != "live":
        time.sleep(0.001)
    porch.close()
    reader.join(5)
    assert not caplog.records
    assert porch.drops.source == 0


def test_latest_replaces_a_frame_that_has_waited() -> None:
    with camera(lambda: Cut(1000)) as porch:
        frame = next(iter(porch))
        time.sleep(0.05)
        newer = porch.latest(frame)
        assert newer.index > frame.index
        assert porch.latest(newer) is newer or porch.latest(newer).index > newer.index
        assert porch.drops.superseded >= newer.index - frame.index - 1
        assert porch.drops.source == 0
