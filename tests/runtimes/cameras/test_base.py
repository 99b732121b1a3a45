"""A camera of a user's own: a class derived from `Camera`."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.cameras.base import Camera, CameraState
from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Drops, Frame


class Counting(Camera):
    """Gives `count` frames and notes the calls of its methods."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._index, self._count = -1, count

    def open(self) -> None:
        self.calls.append("open")

    def read(self) -> Frame | None:
        self.calls.append("read")
        self._index += 1
        if self._index == self._count:
            return None
        return Frame(np.full((4, 6, 3), self._index, np.uint8), self._index, self.clock())

    def release(self) -> None:
        self.calls.append("release")


class Minimal(Camera):
    """Only `read` is written, without `__init__`."""

    def read(self) -> Frame | None:
        return None


class Waiting(Camera):
    """Waits for an event in `read`, and notes whether it is released meanwhile."""

    def __init__(self) -> None:
        super().__init__("porch")
        self.reading, self.arrived = threading.Event(), threading.Event()
        self.released_by: str | None = None

    def read(self) -> Frame | None:
        self.reading.set()
        assert self.arrived.wait(10)
        assert self.released_by is None
        return Frame(np.zeros((4, 6, 3), np.uint8), 0, self.clock())

    def release(self) -> None:
        self.released_by = threading.current_thread().name


def test_it_is_opened_read_and_released() -> None:
    camera = Counting()
    assert [frame.index for frame in camera] == [0, 1, 2]
    assert camera.calls == ["open", *["read"] * 4, "release"]


def test_frames_are_stamped_by_the_monotonic_clock() -> None:
    before = time.monotonic()
    (frame,) = Counting(1)
    assert before <= frame.captured <= time.monotonic()


def test_what_is_not_written_has_defaults() -> None:
    camera = Minimal()
    assert (camera.name, camera.live, camera.fps, camera.drops) == ("Minimal", False, None, Drops())
    assert camera.state == CameraState("Minimal", "live", connections=1)
    assert list(camera) == []
    assert camera.state.phase == "ended"


def test_read_has_to_be_written() -> None:
    with pytest.raises(TypeError, match="read"):
        Camera()  # type: ignore[abstract]


def test_leaving_the_iteration_releases_it() -> None:
    camera = Counting()
    for _ in camera:
        break
    assert camera.calls == ["open", "read", "release"]


def test_a_block_keeps_it_open_between_iterations() -> None:
    camera = Counting()
    with camera:
        for _ in camera:
            break
        assert "release" not in camera.calls
        assert [frame.index for frame in camera] == [1, 2]
    assert camera.calls.count("open") == camera.calls.count("release") == 1


def test_an_error_of_read_releases_it_and_reaches_the_reader() -> None:
    class Failing(Counting):
        def read(self) -> Frame | None:
            raise CameraError("the cable is cut")

    camera = Failing()
    with pytest.raises(CameraError, match="the cable is cut"):
        list(camera)
    assert camera.calls == ["open", "release"]


def test_what_fails_to_open_is_not_released() -> None:
    class Failing(Counting):
        def open(self) -> None:
            raise CameraError("no such camera")

    camera = Failing()
    with pytest.raises(CameraError, match="no such camera"):
        list(camera)
    assert camera.calls == []


def test_what_was_never_opened_is_not_released() -> None:
    camera = Counting()
    camera.close()
    assert camera.calls == []


def test_read_must_return_a_frame() -> None:
    class Wrong(Counting):
        def read(self) -> Frame | None:
            return np.zeros((4, 6, 3), np.uint8)  # type: ignore[return-value]

    camera = Wrong()
    with pytest.raises(CameraError, match=r"Frame or None.*got ndarray"):
        list(camera)
    assert camera.calls == ["open", "release"]


def test_it_is_never_released_during_a_read() -> None:
    camera = Waiting()
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(camera), name="reader")
    reader.start()
    assert camera.reading.wait(10)
    camera.close()
    assert camera.released_by is None
    camera.arrived.set()
    reader.join(10)
    assert not reader.is_alive()
    assert camera.released_by == "reader"
    assert len(frames) <= 1


def test_closing_between_two_reads_releases_it_at_once() -> None:
    camera = Counting()
    frames = iter(camera)
    next(frames)
    closer = threading.Thread(target=camera.close)
    closer.start()
    closer.join(10)
    assert camera.calls == ["open", "read", "release"]
    assert next(frames, None) is None


class Stamped(Camera):
    """Gives two frames with a time and an index of the test's choice; its clock says 100."""

    def __init__(self, captured: Any, index: Any = 0) -> None:
        super().__init__("porch", clock=lambda: 100.0)
        self._frames = iter([Frame(np.zeros((4, 6, 3), np.uint8), index, captured)] * 2)

    def read(self) -> Frame | None:
        return next(self._frames, None)


@pytest.mark.parametrize(
    ("captured", "index"),
    [
        (1795876054.5, 0), (math.nan, 0), (math.inf, 0), (-math.inf, 0), (None, 0), ("now", 0), (101.5, 0),
        (99.0, "7"), (99.0, None), (99.0, 1.5), (99.0, -1),
    ],
)  # fmt: skip
def test_a_frame_without_a_usable_time_or_index_is_told(captured: Any, index: Any) -> None:
    with pytest.raises(CameraError, match=r"porch must number .* self\.clock\(\), which says 100\.000; got"):
        list(Stamped(captured, index))


@pytest.mark.parametrize(
    ("captured", "expected"), [(99.5, 99.5), (100.0, 100.0), (100.001, 100.0), (100.9, 100.0), (np.float32(7), 7.0)]
)
def test_a_time_a_little_ahead_of_the_clock_is_now(captured: float, expected: float) -> None:
    assert [frame.captured for frame in Stamped(captured, np.int64(3))] == [expected] * 2
