"""Many connections, slow ones and silent ones, at the same time."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from previews import LOCALHOST, connect, exchange, get, preview, status

from allweather.runtimes.monitor import connection
from allweather.runtimes.monitor.connection_loop import MAX_CONNECTIONS
from allweather.runtimes.monitor.server import MonitorServer


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nA", b"GET /frames/0 HTTP/1.0\r\n\r\n"])
def test_no_number_of_connections_shuts_out_a_viewer(sent: bytes) -> None:
    with MonitorServer([preview()], LOCALHOST) as server, ExitStack() as connections:
        for _ in range(3 * MAX_CONNECTIONS):
            connections.enter_context(connect(server)).sendall(sent)
        for path in ("/healthz", "/", "/metrics"):
            started = time.monotonic()
            assert get(server, path)[0] in (200, 503)
            assert time.monotonic() - started < 2
        assert server._loop.num_connections <= MAX_CONNECTIONS


def test_a_head_has_one_deadline_however_steadily_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HEAD_SECONDS", 0.3)
    with MonitorServer([preview()], LOCALHOST) as server, connect(server) as slow, connect(server) as silent:
        started, received = time.monotonic(), b""
        slow.sendall(b"GET / HTTP/1.0\r\nA: ")
        slow.settimeout(0.05)
        while not received:
            assert time.monotonic() - started < 5
            slow.sendall(b"a")
            try:
                received = slow.recv(999)
            except TimeoutError:
                continue
        assert status(received) == 408
        assert silent.recv(9) == b""  # nothing was asked, so nothing is answered


def test_a_viewer_that_closes_its_half_still_gets_its_response() -> None:
    with MonitorServer([preview()], LOCALHOST) as server:
        assert status(exchange(server, b"GET /metrics HTTP/1.0\r\n\r\n", close_half=True)) == 200
        assert status(exchange(server, b"GET / HT", close_half=True)) == 400
        assert exchange(server, b"", close_half=True) == b""


def test_a_second_request_on_a_connection_is_not_answered() -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
    with MonitorServer([preview()], LOCALHOST) as server:
        response = exchange(server, 3 * request)
    assert response.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in response


@pytest.mark.slow
def test_it_stops_at_any_moment() -> None:
    for _ in range(200):
        with MonitorServer([], LOCALHOST) as server, connect(server) as viewer:
            viewer.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
