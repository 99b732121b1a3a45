"""Plays a recording at its own speed, as if it were a live camera."""

from __future__ import annotations

import time
from collections.abc import Callable

from allweather.runtimes.cameras.base import Capture
from allweather.runtimes.types import Image


class PacedCapture:
    """Gives each frame of a recording when it is due. After a delay it goes on from now, without a burst of frames.

    Args:
        capture: The recording; it is closed with this capture.
        fps: Frames per second, > 0.
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds.
    """

    endless = False

    def __init__(
        self,
        capture: Capture,
        fps: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.fps: float | None = fps
        self._capture, self._interval, self._clock, self._sleep = capture, 1 / fps, clock, sleep
        self._due: float | None = None

    @property
    def file_name(self) -> str:
        """Name of the image file that was decoded last; empty if the recording is a video."""
        return str(getattr(self._capture, "file_name", ""))

    def grab(self) -> bool:
        """Waits until the next frame is due and takes hold of it; returns False when there are no more frames."""
        now = self._clock()
        self._due = now if self._due is None else max(self._due + self._interval, now)
        if self._due > now:
            self._sleep(self._due - now)
        return self._capture.grab()

    def retrieve(self) -> Image | None:
        """Decodes the grabbed frame: uint8 [H, W, 3] RGB, or None if it is damaged."""
        return self._capture.retrieve()

    def close(self) -> None:
        """Closes the recording."""
        self._capture.close()
