"""LiveCamera on sources that the tests control, without a camera."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.types import Drops, Frame, Image


class Ticking:
    """An endless live source that gives a frame every millisecond."""

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
    """A live source that gives what `give` is called with: an image, None for a damaged one, an error, or END."""

    END = "end"

    def __init__(self, *, endless: bool = False, fps: float | None = None) -> None:
        self.endless, self.fps = endless, fps
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = threading.Semaphore(0)
        self._image: Image | None = None
        self.closed = 0

    def grab(self) -> bool:
        self._waiting.release()
        item = self._items.get(timeout=10)
        if isinstance(item, BaseException):
            raise item
        self._image = item if isinstance(item, np.ndarray) else None
        return not isinstance(item, str)

    def retrieve(self) -> Image | None:
        return self._image

    def close(self) -> None:
        self.closed += 1

    def give(self, item: object) -> None:
        """Gives one item, and returns once the camera has processed it and waits for the next."""
        self.wait()
        self._items.put(item)
        self.wait()
        self._waiting.release()

    def end(self, item: object = END) -> None:
        """Gives the last item."""
        self._items.put(item)

    def wait(self) -> None:
        assert self._waiting.acquire(timeout=5), "nobody reads this source"


def solid_image(value: int = 0, height: int = 48, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def camera_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("camera ")}


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert not camera_threads()
    yield
    assert not camera_threads()


def test_the_newest_frame_is_read_and_replaced_ones_are_counted() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        frames = iter(camera)
        source.give(solid_image(0))
        assert next(frames).index == 0
        for value in (1, 2, 3):
            source.give(solid_image(value))
        frame = next(frames)
        assert frame.index == 3
        assert frame.image[0, 0, 0] == 3
        assert camera.drops == Drops(superseded=2)
        source.give(None)
        source.give(solid_image(5))
        assert next(frames).index == 5
        assert camera.drops == Drops(decode=1, superseded=2)
        source.end()
        assert list(frames) == []
    assert source.closed == 1


def test_the_last_frame_before_the_end_is_read() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        source.give(solid_image(7))
        source.end()
        assert [frame.image[0, 0, 0] for frame in camera] == [7]


def test_frames_are_stamped_when_grabbed_not_when_read() -> None:
    now = [1.0]
    source = Scripted()
    with LiveCamera(lambda: source, "scripted", clock=lambda: now[0]) as camera:
        source.give(solid_image())
        now[0] = 50.0
        assert next(iter(camera)).captured == 1.0
        source.end()


@pytest.mark.parametrize("error", [ValueError("broken driver"), MemoryError()])
def test_an_error_in_the_thread_reaches_the_reader(error: BaseException) -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "scripted") as camera:
        source.give(solid_image(1))
        source.end(error)
        frames = iter(camera)
        assert next(frames).index == 0
        with pytest.raises(type(error)) as caught:
            next(frames)
        assert caught.value is error
    assert source.closed == 1


def test_a_video_played_live_ends() -> None:
    source = Scripted()
    with LiveCamera(lambda: source, "video") as camera:
        source.give(solid_image())
        source.end()
        frames = iter(camera)
        next(frames)
        assert next(frames, None) is None


@pytest.mark.parametrize("read", [0, 1, 5])
def test_the_thread_ends_with_the_block_however_much_was_read(read: int) -> None:
    source = Ticking()
    with LiveCamera(lambda: source, "ticking") as camera:
        assert len(camera_threads()) == 1
        for frame, _ in zip(camera, range(read), strict=False):
            assert frame.index >= 0
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert not camera_threads()
    assert source.closed == 1


def test_the_thread_ends_when_the_block_fails() -> None:
    source = Ticking()
    with pytest.raises(ZeroDivisionError), LiveCamera(lambda: source, "ticking"):
        raise ZeroDivisionError
    assert not camera_threads()
    assert source.closed == 1


def test_reading_without_a_block_leaves_no_thread() -> None:
    source = Ticking()
    frames = iter(LiveCamera(lambda: source, "ticking"))
    next(frames)
    frames.close()
    assert not camera_threads()
    assert source.closed == 1


def test_a_camera_that_is_never_read_is_not_opened() -> None:
    source = Ticking()
    LiveCamera(lambda: source, "ticking").close()
    assert source.grabbed == 0


def test_closing_releases_a_waiting_reader() -> None:
    source = Scripted()
    camera = LiveCamera(lambda: source, "scripted")
    frames: list[Frame] = []
    with camera:
        reader = threading.Thread(target=lambda: frames.extend(camera))
        reader.start()
        source.wait()
        closer = threading.Thread(target=camera.close)
        closer.start()
        reader.join(0.8)
        assert not reader.is_alive()
        source.end()
        closer.join(2)
    assert frames == []


def test_a_driver_that_hangs_does_not_delay_closing(caplog: pytest.LogCaptureFixture) -> None:
    source = Scripted()
    started = time.monotonic()
    with LiveCamera(lambda: source, "porch"):
        source.wait()
    assert time.monotonic() - started < 1.5
    assert "porch hangs" in caplog.text
    source.end()
    deadline = time.monotonic() + 5
    while camera_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert source.closed == 1


def test_damaged_frames_without_a_pause_leave_time_to_other_cameras() -> None:
    class Noise:
        fps, endless = None, True

        def grab(self) -> bool:
            return True

        def retrieve(self) -> Image | None:
            return None

        def close(self) -> None: ...

    with LiveCamera(Noise, "noise") as camera:
        time.sleep(0.1)
        assert 0 < camera.drops.decode < 1000  # some ten thousand without a pause
