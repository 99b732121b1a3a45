"""The parser of requests, tested by what strangers, scanners and other protocols send."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.monitor.request import MAX_HEAD_BYTES, HeadReader, Request
from allweather.runtimes.monitor.response import Response


def parse(head: bytes) -> Request | Response | None:
    return HeadReader().feed(head)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400), (b"SSH-2.0-OpenSSH_9.2\r\n", 400), (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1 \r\n", 400), (b"GET / http/1.1\r\n", 400), (b"GET /\xc3\xa9 HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nA: b\r\n folded\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nA: b\rHost: c\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nA: \0\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nnothing\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nHost: a@b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: [::1\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nHost: a:b:c\r\n\r\n", 400),
        (b"G" * 9000, 414), (b"GET /" + b"a" * 9000 + b" HTTP/1.0\r\n", 414),
        (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 6000, 431),
        (b"GET / HTTP/1.0\r\na: " + b"b" * 40_000 + b"\r\n\r\n", 431),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(head: bytes, status: int) -> None:
    refusal = parse(head)
    assert isinstance(refusal, Response)
    assert refusal.status == status


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("/a?b", "x:80", ("/a", b"b", "x")), ("/", "[::1]:80", ("/", b"", "::1")),
        ("/", "LOCALHOST", ("/", b"", "localhost")),
        ("http://other:1/a?b", "x", ("/a", b"b", "other")), ("http://other", "x", ("/", b"", "other")),
        ("//other/a", "x", ("//other/a", b"", "x")), ("/%c3%a9%ff", "", ("/\u00e9\ufffd", b"", "")),
    ],
)  # fmt: skip
def test_the_parts_of_a_request(target: str, host: str, expected: tuple[str, bytes, str]) -> None:
    request = parse(f"\r\nGET {target} HTTP/1.1\nhOST:\t{host} \r\n\r\n".encode())
    assert isinstance(request, Request)
    assert (request.path, request.query, request.host) == expected


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1))
@pytest.mark.slow
def test_the_pieces_in_which_a_head_arrives_make_no_difference(junk: bytes, sizes: list[int]) -> None:
    head = b"\r\nGET /a HTTP/1.0\r\nX: " + junk + b"\r\n\n\r\n"
    reader, result, start = HeadReader(), None, 0
    while start < len(head) and result is None:
        size = sizes[start % len(sizes)]
        result, start = reader.feed(head[start : start + size]), start + size
    whole = parse(head)
    assert type(result) is type(whole)
    assert result == whole or isinstance(whole, Response)


def test_a_head_byte_by_byte_takes_time_in_proportion_to_its_length() -> None:
    reader, start = HeadReader(), time.process_time()
    assert all(reader.feed(bytes([byte])) is None for byte in b"GET / HTTP/1.0\r\nA:" + b" " * (MAX_HEAD_BYTES - 30))
    assert time.process_time() - start < 2
