"""`Connection`: one connection to the monitor server, from its first byte to its last, without ever waiting."""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Sequence
from typing import Literal

from allweather.runtimes.monitor.request import HeadReader, Request
from allweather.runtimes.monitor.response import Response
from allweather.runtimes.monitor.streams import Stream

MAX_HEAD_SECONDS = 5.0  # from the connection to the end of the head
MAX_BLOCKED_SECONDS = 5.0  # after this time, a viewer that reads nothing is disconnected
MAX_DRAIN_SECONDS = 1.0  # for the viewer to close, once everything has been sent
READ_BYTES = 16 * 1024


class Connection:
    """One connection: the head is received, a response is sent, and the rest is received until the viewer closes.

    The last step is needed because closing while data is unread would make the viewer lose the response.

    Args:
        client: The socket, which must not block.
        now: Monotonic seconds.

    Attributes:
        client: The socket.
        phase: "head" while the head is received, "sending" while a response is sent, then "draining".
        started: Monotonic seconds at which it was opened.
        deadline: Monotonic seconds at which its present phase has taken too long.
        stream: What the response goes on with, if it is a stream.
        due: Monotonic seconds at which the stream is asked for its next piece.
        wants_read: Whether something may come from the viewer that matters.
        head: Reads the head.
    """

    def __init__(self, client: socket.socket, now: float) -> None:
        self.client, self.started, self.deadline = client, now, now + MAX_HEAD_SECONDS
        self.phase: Literal["head", "sending", "draining"] = "head"
        self.stream: Stream | None = None
        self.due = math.inf
        self.wants_read = True
        self.head = HeadReader()
        self._outgoing: deque[memoryview] = deque()

    @property
    def queued_bytes(self) -> int:
        """Number of bytes that wait for the viewer to read."""
        return sum(map(len, self._outgoing))

    def receive(self) -> Request | Response | None:
        """Receives what there is.

        Returns:
            The request when its head is complete, the refusal of what is none; else None.

        Raises:
            OSError: The connection has ended.
        """
        try:
            data = self.client.recv(READ_BYTES)
        except BlockingIOError:
            return None
        if self.phase == "head" and ((result := self.head.feed(data)) or data):
            return result
        if not data and (self.phase != "sending" or self.stream):
            raise ConnectionResetError
        self.wants_read = bool(data) and self.stream is None  # a viewer may close its half, and still read
        return None

    def respond(self, response: Response, stream: Stream | None, now: float, *, with_body: bool) -> None:
        """Begins to send a response, and the stream that follows it, if any; only the head without `with_body`."""
        self.phase, self.deadline = "sending", now + MAX_BLOCKED_SECONDS
        self._queue([response.head(), *(response.body if with_body else ())])
        if stream and with_body:
            self.stream, self.due = stream, now
        self.send(now)

    def continue_stream(self, now: float) -> None:
        """Sends the next piece of the stream, unless the viewer has not read the last one yet."""
        assert self.stream
        self.due = now + self.stream.interval
        if not self._outgoing:
            self._queue(self.stream.next_piece(now))
            self.deadline = now + MAX_BLOCKED_SECONDS
            self.send(now)

    def send(self, now: float) -> None:
        """Sends as much as the viewer takes.

        Raises:
            OSError: The connection has ended.
        """
        try:
            while self._outgoing:
                sent = self.client.send(self._outgoing[0])
                self.deadline = now + MAX_BLOCKED_SECONDS
                self._outgoing[0] = self._outgoing[0][sent:]
                if not self._outgoing[0]:
                    self._outgoing.popleft()
        except BlockingIOError:
            return
        if self.stream:
            self.deadline = math.inf
        elif self.phase == "sending":
            self.client.shutdown(socket.SHUT_WR)
            self.phase, self.deadline, self.wants_read = "draining", now + MAX_DRAIN_SECONDS, True

    def _queue(self, pieces: Sequence[bytes]) -> None:
        self._outgoing.extend(memoryview(piece) for piece in pieces if piece)
