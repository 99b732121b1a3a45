"""Whatever a stranger sends to the page, there is one answer or none, in bounded time, and the page goes on.

ALLWEATHER_FUZZ_EXAMPLES=100000 python -m pytest tests/fuzz/test_page_requests.py
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from previews import LOCALHOST, connect, exchange, preview, status

from allweather.runtimes.monitor.server import MonitorServer

EXAMPLES = int(os.environ.get("ALLWEATHER_FUZZ_EXAMPLES", "100"))
MAX_SECONDS = 10.0  # from a request to its answer, on a machine that does other things
STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-5][0-9][0-9] [A-Z][A-Za-z -]*\r\n")

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"PRI", b"get", b"G\0T", b""])
TARGETS = st.lists(
    st.sampled_from(
        [b"/", b"frames", b"frames/0", b"0.jpg", b"update", b"metrics", b"healthz", b"..", b"%", b"%2e", b"%00", b"?",
         b"&", b"token=", b"s3cret", b"seen=", b"1.2", b"#", b"*", b"http://", b"localhost", b"@", b":", b"[::1]",
         b"\xff"]
    ) | st.binary(max_size=8), max_size=8,
).map(b"".join)  # fmt: skip
VERSIONS = st.sampled_from(
    [b" HTTP/1.0", b" HTTP/1.1", b" HTTP/2.0", b" HTTP/0.9", b" HTTP/1.10", b" http/1.1", b"", b" "]
)
ENDS = st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b""])
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"Authorization", b"Content-Length", b"Transfer-Encoding", b"Cookie", b" X", b"X "])
        | st.binary(max_size=6),
        st.sampled_from([b":", b": ", b" :", b"", b":\t"]),
        st.sampled_from([b"localhost", b"localhost:1", b"[::1]:80", b"evil", b"Bearer s3cret", b"5", b"-1", b"chunked"])
        | st.binary(max_size=20) | st.integers(0, 40_000).map(lambda size: b"a" * size),
        ENDS,
    ).map(b"".join), max_size=5,
).map(b"".join)  # fmt: skip
LIKE_REQUESTS = st.tuples(METHODS, st.just(b" "), TARGETS, VERSIONS, ENDS, HEADERS, ENDS).map(b"".join)
REQUESTS = LIKE_REQUESTS | st.binary(max_size=400) | st.tuples(LIKE_REQUESTS, LIKE_REQUESTS).map(b"".join)


@pytest.fixture(scope="module", params=["", "s3cret"])
def server(request: pytest.FixtureRequest) -> Iterator[MonitorServer]:
    """A server without streams, which never end, with a token or without; it leaves no thread."""
    before = set(threading.enumerate())
    with MonitorServer([preview()], LOCALHOST, request.param) as started:
        yield started
        while started._loop.num_connections:
            time.sleep(0.01)
    assert set(threading.enumerate()) <= before


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS, st.integers(0, 400))
@pytest.mark.slow
def test_one_answer_or_none_to_whatever_is_sent(server: MonitorServer, request_bytes: bytes, cut: int) -> None:
    started = time.monotonic()
    with connect(server) as connection:
        connection.sendall(request_bytes[:cut])
        connection.sendall(request_bytes[cut:])
        connection.shutdown(1)
        received = b""
        while (data := connection.recv(65536)) and b"image/jpeg\r\nContent" not in received:  # a stream never ends
            received += data
    assert time.monotonic() - started < MAX_SECONDS
    assert not received or STATUS_LINE.match(received)
    assert received.count(b"\r\nConnection: close\r\n") == bool(received)
    assert not received or b"Content-Security-Policy: default-src 'none'" in received
    assert status(received) != 500
    assert status(exchange(server, b"GET /healthz HTTP/1.0\r\n\r\n")) in (200, 503)
