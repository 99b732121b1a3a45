"""Live cameras, without a camera: sources that do as they are told."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.cameras.latest_frame import LatestFrame
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.types import Drops, Frame, Image


class Ticking:
    """A live source that gives a frame each millisecond, for ever."""

    fps: float | None = None
    endless = True

    def __init__(self) -> None:
        self.grabbed = 0
        self.closed = 0

    def grab(self) -> bool:
        time.sleep(0.001)
        self.grabbed += 1
        return True

    def retrieve(self) -> Image | None:
        return np.full((4, 6, 3), self.grabbed % 256, np.uint8)

    def close(self) -> None:
        self.closed += 1


class Scripted:
    """A live source that gives what it is told, when it is told: an image, None (damaged), or its end."""

    END = "end"

    def __init__(self, *, endless: bool = False, fps: float | None = None) -> None:
        self.endless, self.fps = endless, fps
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asked = threading.Semaphore(0)
        self._image: Image | None = None
        self.closed = 0

    def grab(self) -> bool:
        self._asked.release()
        order = self._orders.get(timeout=10)
        if isinstance(order, BaseException):
            raise order
        self._image = order if isinstance(order, np.ndarray) else None
        return not isinstance(order, str)

    def retrieve(self) -> Image | None:
        return self._image

    def close(self) -> None:
        self.closed += 1

    def give(self, order: object) -> None:
        """Gives one thing, and returns when the camera has dealt with it and asks for more."""
        self.wait()
        self._orders.put(order)
        self.wait()
        self._asked.release()

    def end(self, order: object = END) -> None:
        """Gives the last thing."""
        self._orders.put(order)

    def wait(self) -> None:
        assert self._asked.acquire(timeout=5), "nobody reads this source"


def picture(value: int = 0, height: int = 48, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("camera ")}


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert not threads()
    yield
    assert not threads()


def test_the_newest_frame_wins_and_gaps_are_counted() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        frames = iter(camera)
        source.give(picture(0))
        assert next(frames).index == 0
        for value in (1, 2, 3):
            source.give(picture(value))
        frame = next(frames)
        assert frame.index == 3
        assert frame.image[0, 0, 0] == 3
        assert camera.skipped == Drops(superseded=2)
        source.give(None)
        source.give(picture(5))
        assert next(frames).index == 5
        assert camera.skipped == Drops(decode=1, superseded=2)
        source.end()
        assert list(frames) == []
    assert source.closed == 1


def test_the_last_frame_before_the_end_is_seen() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        source.give(picture(7))
        source.end()
        assert [frame.image[0, 0, 0] for frame in camera] == [7]


def test_frames_are_stamped_when_grabbed_not_when_read() -> None:
    now = [1.0]
    source = Scripted()
    with LiveCamera(lambda: source, "scripted", clock=lambda: now[0]) as camera:
        source.give(picture())
        now[0] = 50.0
        assert next(iter(camera)).captured == 1.0
        source.end()


@pytest.mark.parametrize("error", [ValueError("broken driver"), MemoryError()])
def test_what_breaks_in_the_thread_reaches_the_reader(error: BaseException) -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        source.give(picture(1))
        source.end(error)
        frames = iter(camera)
        assert next(frames).index == 0
        with pytest.raises(type(error)) as caught:
            next(frames)
        assert caught.value is error
    assert source.closed == 1


def test_a_film_ends() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "film") as camera:
        source.give(picture())
        source.end()
        frames = iter(camera)
        next(frames)
        assert next(frames, None) is None


@pytest.mark.parametrize("read", [0, 1, 5])
def test_the_thread_ends_with_the_block_whether_read_or_not(read: int) -> None:
    source = Ticking()
    with LiveCamera(lambda: source, "ticking") as camera:
        assert len(threads()) == 1
        for frame, _ in zip(camera, range(read), strict=False):
            assert frame.index >= 0
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert not threads()
    assert source.closed == 1


def test_the_thread_ends_when_the_block_fails() -> None:
    source = Ticking()
    with pytest.raises(ZeroDivisionError), LiveCamera(lambda: source, "ticking"):
        raise ZeroDivisionError
    assert not threads()
    assert source.closed == 1


def test_reading_without_a_block_leaves_no_thread() -> None:
    source = Ticking()
    frames = iter(LiveCamera(lambda: source, "ticking"))
    next(frames)
    frames.close()
    assert not threads()
    assert source.closed == 1


def test_a_camera_never_read_is_not_even_opened() -> None:
    source = Ticking()
    LiveCamera(lambda: source, "ticking").close()
    assert source.grabbed == 0


def test_a_reader_that_waits_is_released() -> None:
    source = Scripted()
    camera = LiveCamera(lambda: source, "scripted")
    seen: list[Frame] = []
    with camera:
        reader = threading.Thread(target=lambda: seen.extend(camera))
        reader.start()
        source.wait()
        closer = threading.Thread(target=camera.close)
        closer.start()
        reader.join(0.8)
        assert not reader.is_alive()
        source.end()
        closer.join(2)
    assert seen == []


def test_a_driver_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    source = Scripted()
    began = time.monotonic()
    with LiveCamera(lambda: source, "porch"):
        source.wait()
    assert time.monotonic() - began < 1.5
    assert "porch hangs" in caplog.text
    source.end()
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert source.closed == 1


@given(st.lists(st.booleans(), max_size=50))
def test_the_mailbox_holds_the_newest_and_counts_the_rest(puts: list[bool]) -> None:
    box, newest, lost, index = LatestFrame(), None, 0, 0
    for put in puts:
        if put:
            lost += newest is not None
            newest = Frame(picture(), index, 0.0)
            box.put(newest)
            index += 1
        elif newest is not None:
            assert box.take(0) is newest
            newest = None
    assert box.superseded == lost
    with box:
        pass
    assert (box.ended, box.error) == (True, None)
    assert box.take(9) is newest
    assert box.take(9) is None
