"""`ConnectionLoop`: all connections of the monitor server, served by one thread."""

from __future__ import annotations

import logging
import math
import selectors
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus

from allweather.runtimes.monitor.connection import Connection
from allweather.runtimes.monitor.request import Request
from allweather.runtimes.monitor.response import Response, text_response
from allweather.runtimes.monitor.routes import Routes
from allweather.runtimes.monitor.streams import Stream
from allweather.runtimes.realtime import as_usual

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64  # those that are not streams give way to new ones
MAX_STREAMS = 16  # at the same time
MAX_QUEUED_BYTES = 32 * 1024 * 1024  # that viewers have not read yet; with more, there are no further responses
MAX_ACCEPTED = 16  # connections in a row: a request that has just come in is read before it could have to give way
EXHAUSTED_SECONDS = 0.1  # to wait while the system gives no further connection, as too many files are open


class ConnectionLoop:
    """Accepts connections and serves them, all in the thread that calls `run`.

    As no connection has a thread of its own, any number of slow ones costs a bounded amount of memory, and delays no
    other. If there are `MAX_CONNECTIONS`, the oldest of those without a complete request gives way to a new one.

    Args:
        listener: The listening socket.
        routes: Decides on the responses.
    """

    def __init__(self, listener: socket.socket, routes: Routes) -> None:
        self._listener, self._routes = listener, routes
        self._connections: dict[Connection, int] = {}  # with the events that the selector waits for
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._last_failure = ""
        self._wake_receiver, self._wake_sender = socket.socketpair()

    @property
    def num_connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    @property
    def num_streams(self) -> int:
        """Number of connections that are streams; for the thread that calls `run`."""
        return sum(connection.stream is not None for connection in self._connections)

    def stop(self) -> None:
        """Ends `run`; for another thread."""
        self._stopping.set()
        self._wake_sender.close()  # wakes the other end of the pair; the loop may have ended already

    def run(self) -> None:
        """Serves until `stop` is called, and then closes all connections and the listening socket."""
        as_usual()
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        try:
            while not self._stopping.is_set():
                self._serve_once()
        finally:
            for connection in tuple(self._connections):
                self._close(connection)
            self._selector.close()
            for each in (self._listener, self._wake_receiver):
                each.close()

    def _serve_once(self) -> None:
        """Waits for the next event or due time, and handles all that have come."""
        times = [min(connection.deadline, connection.due) for connection in self._connections]
        next_time = min(times, default=math.inf)
        timeout = None if next_time == math.inf else max(0.0, next_time - time.monotonic())
        events = [(key.data, mask) for key, mask in self._selector.select(timeout)]
        now = time.monotonic()
        for connection, mask in events:
            if connection in self._connections:
                self._step(connection, mask, now)
        for connection in tuple(self._connections):
            if min(connection.deadline, connection.due) <= now:
                self._step(connection, 0, now)
        if any(connection is None for connection, _ in events):  # the listener comes last, see MAX_ACCEPTED
            self._accept(now)

    def _step(self, connection: Connection, mask: int, now: float) -> None:
        """Handles the events of a connection, or what is due, and closes it at its end or if anything fails."""
        try:
            if mask & selectors.EVENT_READ and (received := connection.receive()):
                self._respond(connection, received, now)
            if mask & selectors.EVENT_WRITE:
                connection.send(now)
            if connection.stream and connection.due <= now:
                connection.continue_stream(now)
            if connection.deadline <= now:
                self._expire(connection, now)
            self._watch(connection)
        except OSError:  # the viewer has left
            self._close(connection)
        except Exception as error:  # noqa: BLE001 -- whatever fails, only this connection ends
            self._log_failure(f"the monitor server ends a connection: {error!r}")
            self._close(connection)

    def _respond(self, connection: Connection, received: Request | Response, now: float) -> None:
        """Begins the response to a request, or sends the refusal of what is none."""
        method = received.method if isinstance(received, Request) else ""
        result = self._respond_to(received) if isinstance(received, Request) else received
        queued = sum(each.queued_bytes for each in self._connections)
        is_new_stream = isinstance(result, Stream) and method != "HEAD"
        if (is_new_stream and self.num_streams >= MAX_STREAMS) or queued > MAX_QUEUED_BYTES:
            result = text_response(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers; close another one", ["Retry-After: 1"]
            )
        stream = result if isinstance(result, Stream) else None
        response = stream.response() if stream else result
        assert isinstance(response, Response)
        connection.respond(response, stream, now, with_body=method != "HEAD")

    def _respond_to(self, request: Request) -> Response | Stream:
        """Returns the response to a request, also if making it fails."""
        try:
            return self._routes.respond(request)
        except Exception as error:  # noqa: BLE001 -- whatever fails, the viewer is told and the server goes on
            self._log_failure(f"the monitor server cannot respond to a request for {request.path!a}: {error!r}")
            return text_response(HTTPStatus.INTERNAL_SERVER_ERROR, "the response could not be made; the log says why")

    def _log_failure(self, text: str) -> None:
        """Logs a failure once, and not again for each of the ten updates a second."""
        if text != self._last_failure:
            logger.error("%s", text)
        self._last_failure = text

    def _expire(self, connection: Connection, now: float) -> None:
        """Ends a phase that took too long: an incomplete head is told so, all others are closed."""
        refusal = connection.head.time_out() if connection.phase == "head" else None
        if refusal is None:
            raise ConnectionAbortedError
        connection.respond(refusal, None, now, with_body=True)

    def _watch(self, connection: Connection) -> None:
        """Waits for the events that the connection now needs."""
        wanted = selectors.EVENT_READ if connection.wants_read else 0
        wanted |= selectors.EVENT_WRITE if connection.queued_bytes else 0
        present = self._connections[connection]
        if wanted == present:
            return
        if present and wanted:
            self._selector.modify(connection.client, wanted, connection)
        elif wanted:
            self._selector.register(connection.client, wanted, connection)
        else:
            self._selector.unregister(connection.client)
        self._connections[connection] = wanted

    def _accept(self, now: float) -> None:
        """Accepts the connections that wait, each for the oldest other one if there are too many."""
        for _ in range(MAX_ACCEPTED):
            if len(self._connections) >= MAX_CONNECTIONS:
                self._give_way()
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # too many open files
                self._give_way()
                self._stopping.wait(EXHAUSTED_SECONDS)
                return
            client.setblocking(False)
            connection = Connection(client, now)
            self._connections[connection] = 0
            self._watch(connection)

    def _give_way(self) -> None:
        """Closes the oldest connection that is no stream and has its response or has sent no complete request."""
        order = {"draining": 0, "head": 1, "sending": 2}
        others = [each for each in self._connections if each.stream is None]
        if others:
            self._close(min(others, key=lambda each: (order[each.phase], each.started)))

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection):
            self._selector.unregister(connection.client)
        with suppress(OSError):
            connection.client.close()
