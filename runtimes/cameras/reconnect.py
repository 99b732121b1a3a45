"""`StreamConnector` opens a network stream again and again, with a timeout learned from earlier attempts."""

from __future__ import annotations

import time
from collections.abc import Callable

from allweather.runtimes.cameras.base import Capture
from allweather.runtimes.cameras.opencv import STREAM_TIMEOUT_SECONDS, open_stream

TIMEOUT_FACTOR, MIN_TIMEOUT_SECONDS = 3.0, 1.5  # the timeout is three times the slowest success, but at least 1.5 s
FULL_TIMEOUT_AFTER = 4  # failed attempts in a row, and after 8, 16, ... of them


class StreamConnector:
    """Opens a stream each time it is called, as `LiveCamera` needs it.

    An attempt that started while the camera did not work may wait for a response long after the camera has
    recovered. Therefore, once the stream has been open, an attempt gets only three times the time of the slowest
    successful one before the next is made. As the network path to the camera may have become slower, an attempt gets
    the full time after four failures in a row, and again after eight, sixteen and so on.

    Args:
        url: A rtsp, rtsps, http, https or udp URL.
        name: The URL without passwords, for messages.
        opener: Opens the stream, given URL, name and timeout in seconds.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        opener: Callable[[str, str, float], Capture] = open_stream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._name = url, name
        self._opener, self._clock = opener, clock
        self._slowest: float | None = None
        self._failures = 0

    def timeout(self) -> float:
        """Returns the timeout of the next attempt in seconds."""
        is_power_of_two = self._failures & (self._failures - 1) == 0
        if self._slowest is None or (self._failures >= FULL_TIMEOUT_AFTER and is_power_of_two):
            return STREAM_TIMEOUT_SECONDS
        return min(max(TIMEOUT_FACTOR * self._slowest, MIN_TIMEOUT_SECONDS), STREAM_TIMEOUT_SECONDS)

    def __call__(self) -> Capture:
        """Opens the stream.

        Raises:
            CameraError: There is no response in time, or the response is not a video.
        """
        started, timeout = self._clock(), self.timeout()
        self._failures += 1  # until the attempt has succeeded
        capture = self._opener(self._url, self._name, timeout)
        seconds = self._clock() - started
        if seconds < timeout:  # otherwise FFMPEG has not found the format in time, and cannot read what it has opened
            self._slowest = max(self._slowest or 0.0, seconds)
            self._failures = 0
        return capture
