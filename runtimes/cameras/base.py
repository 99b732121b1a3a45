"""`Camera`, the base class of all sources of frames, and `StoredCamera`, which drops no frame of its source."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import TracebackType
from typing import Literal, Protocol

from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import MAX_AHEAD_SECONDS, Drops, Frame, Image

Phase = Literal["connecting", "live", "waiting", "ended"]


@dataclass(frozen=True)
class CameraState:
    """The state of a camera at one moment.

    Attributes:
        name: The source, without passwords.
        phase: "connecting" before the first connection; "live" while frames come; "waiting" while the source is not
            available and is tried again and again; "ended" after the last frame or after `Camera.close`.
        connections: How often the source was connected to successfully.
        disconnects: How often a live source was lost.
        error: Why the source is not available; empty unless the phase is "waiting".
    """

    name: str
    phase: Phase
    connections: int = 0
    disconnects: int = 0
    error: str = ""


class Capture(Protocol):
    """A source of images, with the methods of `cv2.VideoCapture` that a camera needs.

    A source of image files may also have `file_name`, the name of the file that was decoded last.

    Attributes:
        fps: Frames per second as stated by the source; None if it states none.
        endless: Whether the source has no regular end, as a device has none; running out of frames is then a fault.
    """

    @property
    def fps(self) -> float | None:
        """Frames per second as stated by the source; None if it states none."""

    @property
    def endless(self) -> bool:
        """Whether running out of frames is a fault."""

    def grab(self) -> bool:
        """Waits for the next frame and takes hold of it; returns False when there are no more frames."""

    def retrieve(self) -> Image | None:
        """Decodes the grabbed frame: uint8 [H, W, 3] RGB in memory of its own, or None if the frame is damaged."""

    def close(self) -> None:
        """Releases the source."""


class Camera(ABC):
    """Base class of all sources of frames. Derive from it to read a source that `open_camera` does not know.

    Define `read`, and also `open` and `release` if the source has to be opened and released. Example::

        class Screen(allweather.Camera):
            def open(self):
                self._screen, self._index = mss.mss(), -1

            def read(self):
                self._index, captured = self._index + 1, self.clock()
                image = np.array(self._screen.grab(self._screen.monitors[0]))[..., 2::-1]  # from BGRA to RGB
                return allweather.Frame(image, self._index, captured)

            def release(self):
                self._screen.close()

        for decision in allweather.watch(Screen(), perceiver): ...

    If your class defines `__init__`, it must call `super().__init__(name)`.

    A camera is opened by the outermost `with` block or iteration and closed at its end. It is read once: a second
    iteration continues where the first one stopped, and a closed camera cannot be opened again.

    Threads: `open`, `read` and `release` never run at the same time. The thread that iterates calls `open` and `read`;
    `release` is called by that thread or by the one that calls `close`, which may be any thread. As a camera that is
    being read is released only after `read` has returned, a `read` that waits should end within a few seconds. Any
    thread may read `fps`, `drops` and `state` at any time.

    Attributes:
        name: Name of the source for messages and logs, without passwords.
        live: Whether the source produces frames whether they are read or not. Of a live camera, frames that are too old
            for the latency budget are dropped; of all others, every frame is decided on.
        clock: Returns monotonic seconds, the time by which frames are stamped and budgets are kept.
        on_wait: Set by the loop. A `read` that waits long for a frame may call it every few seconds to report that the
            loop is alive; if it does not, the health check reports after ten seconds that the loop hangs.
    """

    live: bool = False

    def __init__(self, name: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        """Opens nothing yet.

        Args:
            name: Name of the source for messages and logs, without passwords; the name of the class if empty.
            clock: Returns monotonic seconds.
        """
        self.name = name or type(self).__name__
        self.clock = clock
        self.on_wait: Callable[[], object] = lambda: None
        self._users = 0
        self._opened = self._closed = self._released = False
        self._reading = threading.Lock()  # held while the source is read or released

    def open(self) -> None:  # noqa: B027 -- optional on purpose
        """Opens the source. Called once, before the first `read`; does nothing unless overridden.

        Raises:
            CameraError: The source cannot be opened; `release` is then not called.
        """

    @abstractmethod
    def read(self) -> Frame | None:
        """Waits for the next frame and returns it; None when there are no more frames.

        The image of the frame is uint8 [H, W, 3] RGB and must not be changed afterwards. Its index grows from 0; a gap
        means that frames were dropped. `captured` is the time of its capture by `clock`, before decoding.

        Raises:
            CameraError: The source fails. Whatever is raised ends the iteration and reaches the caller.
        """

    def release(self) -> None:  # noqa: B027 -- optional on purpose
        """Releases the source. Called once if `open` succeeded, however reading ended; does nothing by default."""

    @property
    def fps(self) -> float | None:
        """Frames per second as stated by the source; None if it states none, or none is known yet."""
        return None

    @property
    def drops(self) -> Drops:
        """Number of frames so far that never reached a reader, by cause."""
        return Drops()

    @property
    def state(self) -> CameraState:
        """The present state; for any thread."""
        return CameraState(self.name, "ended" if self._closed else "live", connections=1)

    def latest(self, frame: Frame) -> Frame:
        """Returns the newest frame, to replace `frame`, which was read and has waited for the perceiver since.

        Returns `frame` itself unless overridden, or if there is no newer one.
        """
        return frame

    def close(self) -> None:
        """Ends reading and releases the source. Any thread may call it; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._stop()

    def _stop(self) -> None:
        self._release_unless_read()

    def _release_unless_read(self) -> None:
        """Releases the source, or leaves that to the thread that is reading it: cv2 crashes if both happen at once."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._opened and not self._released:
                self._released = True
                self.release()
        finally:
            self._reading.release()

    def _next_frame(self) -> Frame | None:
        try:
            with self._reading:
                frame = None if self._closed else self.read()
        finally:
            if self._closed:  # by another thread, during the read
                self._release_unless_read()
        if frame is None or isinstance(frame, Frame):
            return frame and self._with_usable_time(frame)
        raise CameraError(f"the camera {self.name} must return a Frame or None from read(); got {type(frame).__name__}")

    def _with_usable_time(self, frame: Frame) -> Frame:
        """Returns the frame; one that was stamped a little ahead of the clock is stamped now."""
        now, captured = self.clock(), frame.captured
        if isinstance(captured, Real) and isinstance(frame.index, Integral) and frame.index >= 0:
            if -math.inf < captured <= now:
                return frame
            if now < captured <= now + MAX_AHEAD_SECONDS:
                return replace(frame, captured=now)
        raise CameraError(
            f"the camera {self.name} must number its frames from 0 and stamp them by self.clock(), which says "
            f"{now:.3f}; got a frame with index={frame.index!r:.20} and captured={captured!r:.20}"
        )

    def __enter__(self) -> Camera:
        """Opens the source unless it is open already.

        Raises:
            CameraError: The camera has been closed, or the source cannot be opened.
        """
        if self._closed:
            raise CameraError(f"cannot read {self.name}: this camera has been closed; open it again")
        if not self._opened:
            self.open()
            self._opened = True
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the camera if this is the outermost block."""
        self._users -= 1
        if not self._users:
            self.close()

    def __iter__(self) -> Generator[Frame, None, None]:
        """Yields the frames until the source ends or the camera is closed."""
        with self:
            while not self._closed and (frame := self._next_frame()) is not None:
                yield frame


def read_frames(
    capture: Capture, clock: Callable[[], float], first_index: int, on_damaged: Callable[[], bool]
) -> Iterator[Frame]:
    """Yields all frames of a capture that can be decoded, with indices that also count the damaged ones.

    Args:
        capture: An open source.
        clock: Returns monotonic seconds; each frame is stamped when it was grabbed.
        first_index: Index of the first frame.
        on_damaged: Called for each frame that cannot be decoded; returns whether to go on.
    """
    index = first_index
    while capture.grab():
        captured = clock()  # before decoding, which takes milliseconds
        image = capture.retrieve()
        if image is not None:
            yield Frame(image, index, captured, getattr(capture, "file_name", ""))
        elif not on_damaged():
            return
        index += 1


class StoredCamera(Camera):
    """A camera on a file, a folder or an iterator: yields every frame in order, and reads none ahead."""

    def __init__(self, capture: Capture, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes over an open capture.

        Args:
            capture: The open source; the camera closes it.
            name: Name of the source for messages and logs, without passwords.
            clock: Returns monotonic seconds.
        """
        super().__init__(name, clock=clock)
        self._opened = True  # the capture is open already and has to be closed even if it is never read
        self._capture = capture
        self._fps = capture.fps
        self._damaged = 0
        self._frames = read_frames(capture, clock, 0, self._count_damaged)

    @property
    def fps(self) -> float | None:
        """Frames per second as stated by the source; None if it states none."""
        return self._fps

    @property
    def drops(self) -> Drops:
        """Number of damaged frames so far."""
        return Drops(decode=self._damaged)

    def read(self) -> Frame | None:
        """Returns the next frame that can be decoded; None when there are no more frames."""
        return next(self._frames, None)

    def release(self) -> None:
        """Closes the capture."""
        self._capture.close()

    def _count_damaged(self) -> bool:
        self._damaged += 1
        return True
