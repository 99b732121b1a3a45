"""What a camera is, and the one that is read without loss: a file, a folder, an iterator."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol

from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Drops, Frame, Image

Phase = Literal["connecting", "live", "waiting", "ended"]


@dataclass(frozen=True)
class CameraState:
    """How a camera is.

    Attributes:
        name: the source, without passwords.
        phase: "connecting"; "live": frames come; "waiting": it is not there and will be tried again; "ended".
        connections: how often it was connected.
        lost: how often it was lost.
        trouble: why it is waiting; empty when it is not.
    """

    name: str
    phase: Phase
    connections: int = 0
    lost: int = 0
    trouble: str = ""


class Capture(Protocol):
    """Where pictures come from. The smallest thing a camera can be made of; tests bring their own.

    Attributes:
        fps: frames a second as the source states it; None when it does not.
        endless: whether running out of frames is a fault, as it is for a device.
    """

    @property
    def fps(self) -> float | None:
        """See above."""

    @property
    def endless(self) -> bool:
        """See above."""

    def grab(self) -> bool:
        """Waits for the next frame and takes hold of it; False when there are no more."""

    def retrieve(self) -> Image | None:
        """The frame taken hold of, as uint8 [H, W, 3] RGB in memory of its own; None when it is damaged."""

    def close(self) -> None:
        """Lets go of the source."""


class Camera(ABC):
    """A source of frames. Read once: iterating again goes on where the last reader stopped.

    It is open inside `with`, and while it is iterated over; it closes when the outermost of these ends.

    Attributes:
        name: the source as it was named, without passwords.
        live: whether frames are lost when nobody reads them.
        on_wake: called now and then while its reader waits for a frame.
    """

    live: bool

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        """Made by `open_camera` and `camera_from`."""
        self.name = name
        self.on_wake: Callable[[], object] = lambda: None
        self._clock = clock
        self._users = 0
        self._closed = False

    @property
    @abstractmethod
    def fps(self) -> float | None:
        """Frames a second as the source states it; None when it does not, or nothing is known of it yet."""

    @property
    @abstractmethod
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""

    @property
    def state(self) -> CameraState:
        """How it is; for any thread. A file or folder is there, or could not have been opened."""
        return CameraState(self.name, "ended" if self._closed else "live", connections=1)

    def latest(self, frame: Frame) -> Frame:
        """The frame to look at in place of one that was read and has waited since: a newer one, where it is live."""
        return frame

    @abstractmethod
    def _read(self) -> Frame | None:
        """The next frame; None when there are no more."""

    @abstractmethod
    def _close(self) -> None:
        """Ends reading and lets go of the source."""

    def __enter__(self) -> Camera:
        if self._closed:
            raise CameraError(f"cannot read {self.name}: this camera has been closed; open it again")
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if not self._users:
            self.close()

    def close(self) -> None:
        """Lets go of the source at once; closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def __iter__(self) -> Generator[Frame, None, None]:
        with self:
            while not self._closed and (frame := self._read()) is not None:
                yield frame


def frames_of(capture: Capture, clock: Callable[[], float], first: int, damaged: Callable[[], None]) -> Iterator[Frame]:
    """All frames of a capture that can be decoded, numbered as they were grabbed.

    Args:
        capture: open.
        clock: gives the monotonic seconds by which frames are stamped.
        first: number of the first.
        damaged: called for each frame that cannot be decoded.
    """
    index = first
    while capture.grab():
        captured = clock()  # before decoding, which takes milliseconds of its own
        image = capture.retrieve()
        if image is None:
            damaged()
        else:
            yield Frame(image, index, captured)
        index += 1


class StoredCamera(Camera):
    """A file, a folder or an iterator: every frame, in order, read when it is asked for."""

    live = False

    def __init__(self, capture: Capture, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """A camera that waits for its reader.

        Args:
            capture: the source; the camera closes it.
            name: what to call it in messages; no passwords.
            clock: gives monotonic seconds.
        """
        super().__init__(name, clock)
        self._reading = threading.Lock()  # for whoever reads, or lets go of the source: cv2 crashes at both at once
        self._capture: Capture | None = capture
        self._fps = capture.fps
        self._decode = 0
        self._unread = frames_of(capture, clock, 0, self._note_damaged)

    @property
    def fps(self) -> float | None:
        """Frames a second as the source states it; None when it does not."""
        return self._fps

    @property
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""
        return Drops(decode=self._decode)

    def _note_damaged(self) -> None:
        self._decode += 1

    def _read(self) -> Frame | None:
        try:
            with self._reading:
                return None if self._closed else next(self._unread, None)
        finally:
            if self._closed:  # by another thread, meanwhile
                self._close()

    def _close(self) -> None:
        """Lets go of the source, or leaves that to the thread that reads it."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            capture, self._capture = self._capture, None
            if capture:
                capture.close()
        finally:
            self._reading.release()
