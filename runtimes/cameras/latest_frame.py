"""The one slot between a camera that does not wait and a reader that may be slow."""

from __future__ import annotations

import threading
from types import TracebackType

from allweather.runtimes.types import Frame


class LatestFrame:
    """Holds the newest frame. `put` never waits and replaces a frame that nobody took.

    The writing thread fills it inside `with`; leaving that block ends the mailbox and keeps the exception that left it.

    Attributes:
        superseded: frames that were replaced before they were taken.
        ended: whether no more frames will come; one may still lie there.
        error: what ended it; None where the frames ran out, or the reader closed it.
    """

    def __init__(self) -> None:
        """Starts empty and open."""
        self.superseded = 0
        self.ended = False
        self.error: BaseException | None = None
        self._changed = threading.Condition()
        self._frame: Frame | None = None

    def __enter__(self) -> LatestFrame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with self._changed:
            self.ended = True
            self.error = error
            self._changed.notify_all()
        return True  # the exception now belongs to the reader

    def put(self, frame: Frame) -> None:
        """Lays down the newest frame; nobody will take it any more once the mailbox has ended."""
        with self._changed:
            if self.ended:
                return
            self.superseded += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self, seconds: float) -> Frame | None:
        """Takes the frame, and waits for one for so long if there is none; None when none came, or all have."""
        with self._changed:
            if self._frame is None and not self.ended and seconds > 0:
                self._changed.wait_for(lambda: self._frame is not None or self.ended, seconds)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """Releases a waiting reader and forgets the frame, from the reader's side."""
        with self._changed:
            self._frame = None
            self.ended = True
            self._changed.notify_all()
