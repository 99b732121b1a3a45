"""The one-frame buffer between the thread that reads a live camera and a reader that may be slower."""

from __future__ import annotations

import threading
from types import TracebackType

from allweather.runtimes.types import Frame


class LatestFrame:
    """Holds the newest frame. `put` never waits: it replaces a frame that has not been taken.

    The writing thread uses it in a `with` block. Leaving the block ends it and keeps the exception that left the block.

    Attributes:
        superseded: Number of frames that were replaced before they were taken.
        ended: Whether no more frames will be put; the last one may still be waiting to be taken.
        error: The exception that ended it; None if the frames ran out or the reader closed it.
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
        return True  # the reader raises the exception instead

    def put(self, frame: Frame) -> None:
        """Puts the newest frame; does nothing after the end, when no reader would take it."""
        with self._changed:
            if self.ended:
                return
            self.superseded += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self, timeout: float) -> Frame | None:
        """Takes the frame, waiting up to `timeout` seconds for one; returns None if there is none, or no more."""
        with self._changed:
            if self._frame is None and not self.ended and timeout > 0:
                self._changed.wait_for(lambda: self._frame is not None or self.ended, timeout)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """Ends it from the reader's side: releases a waiting reader and discards the frame."""
        with self._changed:
            self._frame = None
            self.ended = True
            self._changed.notify_all()
