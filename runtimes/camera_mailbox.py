"""The one slot between a camera that does not wait and a reader that may be slow."""

from __future__ import annotations

import threading
from types import TracebackType

from allweather.runtimes.frame import Frame

# On Windows a wait without limit cannot be interrupted by Ctrl-C; waking twice a second costs nothing.
WAKING_SECONDS = 0.5


class Mailbox:
    """Holds the newest frame. `put` never waits and replaces a frame that nobody took.

    The writing thread fills it inside `with`; leaving that block ends the mailbox, and an exception that
    leaves it is raised again in the reader, after the last frame.

    Attributes:
        superseded: frames that were replaced before they were taken.
    """

    def __init__(self) -> None:
        """Starts empty and open."""
        self.superseded = 0
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._ended = False
        self._error: BaseException | None = None

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()
        return True  # the exception now belongs to the reader

    def put(self, frame: Frame) -> None:
        """Lays down the newest frame; nobody will take it any more once the mailbox has ended."""
        with self._changed:
            if self._ended:
                return
            self.superseded += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self) -> Frame | None:
        """Waits for a frame not seen yet and takes it; None when the mailbox has ended.

        Raises:
            BaseException: whatever ended the writing thread.
        """
        with self._changed:
            while self._frame is None and not self._ended:
                self._changed.wait(WAKING_SECONDS)
            frame, self._frame = self._frame, None
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def close(self) -> None:
        """Releases a waiting reader and forgets the frame, from the reader's side."""
        with self._changed:
            self._frame = None
            self._ended = True
            self._changed.notify_all()
