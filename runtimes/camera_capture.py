"""A camera and how its frames reach the reader: losslessly from storage, newest first from life."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Protocol

from allweather.runtimes.camera_mailbox import Mailbox
from allweather.runtimes.errors import CameraError
from allweather.runtimes.frame import Frame, Image
from allweather.runtimes.pace import Drops

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 0.9  # a healthy camera gives a frame, and with it the chance to stop, far more often


class Capture(Protocol):
    """Where pictures come from. The smallest thing a camera can be made of; tests bring their own."""

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
        fps: frames a second as the source states it; None when it does not.
    """

    live: bool

    def __init__(self, capture: Capture, name: str, fps: float | None, clock: Callable[[], float]) -> None:
        """Made by `open_camera` and `camera_from`."""
        self.name = name
        self.fps = fps
        self._capture = capture
        self._clock = clock
        self._decode = 0
        self._users = 0
        self._closed = False

    @property
    @abstractmethod
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""

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

    def _frames(self) -> Iterator[Frame]:
        """All frames of the capture that can be decoded, numbered as they were grabbed."""
        index = 0
        while self._capture.grab():
            captured = self._clock()  # before decoding, which takes milliseconds of its own
            image = self._capture.retrieve()
            if image is None:
                self._decode += 1
            else:
                yield Frame(image, index, captured)
            index += 1


class StoredCamera(Camera):
    """A file, a folder or an iterator: every frame, in order, read when it is asked for."""

    live = False

    def __init__(
        self,
        capture: Capture,
        name: str,
        fps: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A camera that waits for its reader.

        Args:
            capture: the source; the camera closes it.
            name: what to call it in messages; no passwords.
            fps: frames a second, when they are known.
            clock: gives monotonic seconds.
        """
        super().__init__(capture, name, fps, clock)
        self._unread = self._frames()

    @property
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""
        return Drops(decode=self._decode)

    def _read(self) -> Frame | None:
        return next(self._unread, None)

    def _close(self) -> None:
        self._capture.close()


class LiveCamera(Camera):
    """A device or a stream: a thread reads it without pause and keeps the newest frame only.

    Frames left in the queues of a driver would be read ever later; what nobody looked at in time is
    replaced and counted. The thread runs while the camera is open and ends with it.
    """

    live = True

    def __init__(
        self,
        capture: Capture,
        name: str,
        fps: float | None = None,
        *,
        endless: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A camera that waits for nobody.

        Args:
            capture: the source; the thread reads and closes it.
            name: what to call it in messages; no passwords.
            fps: frames a second, when they are known.
            endless: whether running out of frames is a fault, as it is for a device.
            clock: gives monotonic seconds.
        """
        super().__init__(capture, name, fps, clock)
        self._endless = endless
        self._mailbox = Mailbox()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""
        return Drops(decode=self._decode, superseded=self._mailbox.superseded)

    def __enter__(self) -> Camera:
        super().__enter__()
        if self._thread is None:
            # A daemon, so that a driver that hangs cannot keep the process from ending.
            self._thread = threading.Thread(target=self._watch, name=f"camera {self.name}", daemon=True)
            self._thread.start()
        return self

    def _watch(self) -> None:
        with self._mailbox, closing(self._capture):
            count = 0
            for frame in self._frames():
                if self._stopping.is_set():
                    return
                self._mailbox.put(frame)
                count = frame.index + 1
            if self._endless and not self._stopping.is_set():
                raise CameraError(
                    f"the camera {self.name} gave no more frames after {count}; check its cable, power and network"
                )

    def _read(self) -> Frame | None:
        return self._mailbox.take()

    def _close(self) -> None:
        self._stopping.set()
        self._mailbox.close()
        if self._thread is None:
            self._capture.close()
            return
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            logger.warning("the camera %s hangs; it ends by itself when its driver answers", self.name)
