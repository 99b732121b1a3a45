"""Live previews with decisions, and requests to a monitor server, for the tests of the monitor."""

from __future__ import annotations

import http.client
import socket

import numpy as np

from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.types import Budget, Decision, Frame, StageTimes

LOCALHOST = ("127.0.0.1", 0)  # any free port


def decision(index: int = 0) -> Decision:
    """Two of four views, one of them without a predicted loss, in 13 milliseconds."""
    return Decision(
        "<b>stop</b>", 0.75, np.ones(1, np.float32), index, ("identity", "hflip"), (0.25, float("nan")),
        StageTimes(0.001, 0.002, 0, 0, 0.01, 0), 0.02, False, 0, 4, 0.03, 0.012, "budget",
    )  # fmt: skip


def preview(count: int = 1, budget: float = 0.033) -> LivePreview:
    """A preview after `count` decisions."""
    result = LivePreview(camera_from([]), LoopStats(), Budget(budget))
    for index in range(count):
        result.stats.add_decisions((decision(index),))
        result.write(Frame(np.full((30, 40, 3), 90, np.uint8), index, 0.0), decision(index))
    return result


def port(server: MonitorServer) -> int:
    return int(server.url.rsplit(":", 1)[1].strip("/"))


def connect(server: MonitorServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(server)), timeout=10)


def exchange(server: MonitorServer, request: bytes, *, close_half: bool = False) -> bytes:
    """Sends the bytes of a request, and returns all bytes of the response."""
    with connect(server) as connection:
        connection.sendall(request)
        if close_half:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def status(response: bytes) -> int:
    """Returns the status of a response; 0 if it is none."""
    version, _, rest = response.partition(b" ")
    return int(rest[:3]) if version == b"HTTP/1.1" else 0


def get(server: MonitorServer, path: str, **headers: str) -> tuple[int, bytes]:
    """Returns the status and the body; of a stream, its first bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=5)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read(20_000) if path.startswith(("/frames", "/events")) else response.read()
    connection.close()
    return response.status, body


def first_event(server: MonitorServer) -> bytes:
    """Returns the data of the first server-sent event."""
    with connect(server) as connection:
        connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        received = b""
        while b"\n\n" not in received.partition(b"\r\n\r\n")[2]:
            received += connection.recv(65536)
    return received.partition(b"data: ")[2].partition(b"\n\n")[0]
