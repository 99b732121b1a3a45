"""A network stream that is opened again and again: as patiently as it has been slow before."""

from __future__ import annotations

import time
from collections.abc import Callable

from allweather.runtimes.cameras.base import Capture
from allweather.runtimes.cameras.opencv import TIMEOUT_SECONDS, open_stream

SLOWER, AT_LEAST = 3.0, 1.5  # times the longest opening so far; seconds
PATIENT_AFTER = 4  # attempts in vain, and after 8, 16, ... of them


class StreamConnector:
    """Connects to a stream, as `LiveCamera` asks for it.

    An attempt that began while the camera was ill may wait for an answer long after it is well again. So, once the
    stream has been open, an attempt has three times the longest opening so far, and is then made anew. As the way to
    the camera may have become longer, one has the full time after four in vain, and after eight, sixteen ...

    Args:
        url: rtsp, rtsps, http, https or udp.
        name: the same without passwords, for messages.
        opening: opens it within so many seconds.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        opening: Callable[[str, str, float], Capture] = open_stream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._name = url, name
        self._opening, self._clock = opening, clock
        self._slowest: float | None = None
        self._failed = 0

    def limit(self) -> float:
        """Seconds that the next attempt has."""
        patient = self._failed >= PATIENT_AFTER and self._failed & (self._failed - 1) == 0
        if self._slowest is None or patient:
            return TIMEOUT_SECONDS
        return min(max(SLOWER * self._slowest, AT_LEAST), TIMEOUT_SECONDS)

    def __call__(self) -> Capture:
        """The open stream.

        Raises:
            CameraError: nobody answers, or what answers is no video.
        """
        began, limit = self._clock(), self.limit()
        self._failed += 1  # until it is known better
        capture = self._opening(self._url, self._name, limit)
        took = self._clock() - began
        if took < limit:  # else FFMPEG gave up looking for the format, and opened what it cannot read
            self._slowest = max(self._slowest or 0.0, took)
            self._failed = 0
        return capture
