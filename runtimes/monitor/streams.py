"""Responses that go on until the viewer leaves: motion JPEG, and server-sent events."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from allweather.runtimes.monitor.preview import MAX_FRAMES_PER_SECOND, LivePreview
from allweather.runtimes.monitor.response import Response

MAX_EVENTS_PER_SECOND = 10.0  # sent to one viewer
MAX_SILENT_SECONDS = 1.0  # after this time the last frame is sent again, which notices a viewer that has left
UNBUFFERED = "X-Accel-Buffering: no"  # or nginx and others would keep parts of a stream until they have enough


class Stream(ABC):
    """A response without end.

    Attributes:
        interval: Seconds from one piece to the next.
    """

    interval: float

    @abstractmethod
    def response(self) -> Response:
        """Returns the beginning of the response."""

    @abstractmethod
    def next_piece(self, now: float) -> Sequence[bytes]:
        """Returns what to send at the time `now`, in monotonic seconds; nothing if there is nothing new."""


class FrameStream(Stream):
    """Motion JPEG, in which each image replaces the one before.

    Args:
        preview: The camera.
    """

    interval = 1 / MAX_FRAMES_PER_SECOND

    def __init__(self, preview: LivePreview) -> None:
        self._preview = preview
        self._version, self._sent = 0, 0.0

    def response(self) -> Response:
        """See `Stream.response`."""
        content_type = "multipart/x-mixed-replace; boundary=frame"
        return Response(HTTPStatus.OK, content_type, (b"--frame\r\n",), headers=[UNBUFFERED], is_stream=True)

    def next_piece(self, now: float) -> Sequence[bytes]:
        """See `Stream.next_piece`."""
        frame = self._preview.encode()
        if frame is None or (frame.version == self._version and now - self._sent < MAX_SILENT_SECONDS):
            return ()
        self._version, self._sent = frame.version, now
        head = (
            f"Content-Type: image/jpeg\r\nContent-Length: {len(frame.jpeg)}\r\n"
            f"X-Frame-Index: {int(frame.index)}\r\n\r\n"
        )
        return head.encode(), frame.jpeg, b"\r\n--frame\r\n"  # browsers show an image when its boundary has come


class EventStream(Stream):
    """Server-sent events: each is a JSON list with the state of each camera.

    Args:
        states: Returns the states.
    """

    interval = 1 / MAX_EVENTS_PER_SECOND

    def __init__(self, states: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._states = states

    def response(self) -> Response:
        """See `Stream.response`."""
        return Response(HTTPStatus.OK, "text/event-stream", headers=[UNBUFFERED], is_stream=True)

    def next_piece(self, now: float) -> Sequence[bytes]:
        """See `Stream.next_piece`."""
        return (f"data: {json.dumps(self._states(), allow_nan=False)}\n\n".encode(),)
