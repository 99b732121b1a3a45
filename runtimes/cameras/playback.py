"""A recording played at its own speed, as if it were a camera."""

from __future__ import annotations

import time
from collections.abc import Callable

from allweather.runtimes.cameras.base import Capture
from allweather.runtimes.types import Image


class PacedCapture:
    """Gives a frame when it is due. After a stall it goes on from now: frames never come in a burst.

    Args:
        capture: the recording; closed with this.
        fps: frames a second, > 0.
        clock: gives monotonic seconds.
        sleep: waits for so many seconds.
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

    def grab(self) -> bool:
        """Waits until the next frame is due and takes hold of it; False when there are no more."""
        now = self._clock()
        self._due = now if self._due is None else max(self._due + self._interval, now)
        if self._due > now:
            self._sleep(self._due - now)
        return self._capture.grab()

    def retrieve(self) -> Image | None:
        """The frame, uint8 [H, W, 3] RGB; None when it is damaged."""
        return self._capture.retrieve()

    def close(self) -> None:
        """Lets go of the recording."""
        self._capture.close()
