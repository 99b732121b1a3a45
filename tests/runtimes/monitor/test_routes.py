"""What each path answers, by every method, and the headers that all answers have."""

from __future__ import annotations

import json
from email.message import Message
from email.parser import BytesParser
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from previews import LOCALHOST, decision, exchange, get, preview, status

from allweather.runtimes.monitor.document import page_document
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.types import Frame

PATHS = ("/", "/update", "/metrics", "/healthz", "/frames/0.jpg", "/none")
SECURITY_HEADERS = ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control")


def split(response: bytes) -> tuple[Message, bytes]:
    """Returns the headers and the body of a response."""
    head, _, body = response.partition(b"\r\n\r\n")
    return BytesParser().parsebytes(head.partition(b"\r\n")[2]), body


def images(server: MonitorServer, query: str = "") -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Returns the states and the images of an update, by the names of their parts."""
    headers, body = split(exchange(server, f"GET /update{query} HTTP/1.0\r\n\r\n".encode()))
    content = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body
    parts = {}
    for part in BytesParser().parsebytes(content).get_payload():
        message = cast("Message", part)
        name = message.get_param("name", header="Content-Disposition")
        parts[str(name)] = cast("bytes", message.get_payload(decode=True))
    return json.loads(parts.pop("states")), parts


@pytest.mark.parametrize("path", [*PATHS, "/events", "/frames/0"])
def test_head_answers_as_get_without_a_body(path: str) -> None:
    with MonitorServer([preview()], LOCALHOST) as server:
        head = exchange(server, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        headers, body = split(head)
        assert body == b""
        if path not in ("/events", "/frames/0"):
            whole = exchange(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            whole_headers, whole_body = split(whole)
            assert status(head) == status(whole)
            assert set(headers) == set(whole_headers)
            assert int(headers["Content-Length"]) > 0
            assert int(whole_headers["Content-Length"]) == len(whole_body)


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("path", [*PATHS, "*"])
def test_other_methods_are_told_which_there_are(method: str, path: str) -> None:
    with MonitorServer([preview()], LOCALHOST, "s3cret") as server:
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n".encode() + b"a" * 99999
        response = exchange(server, request)
    assert status(response) == 405
    assert split(response)[0]["Allow"] == "GET, HEAD"


def test_every_answer_has_the_headers_of_security_and_allows_no_inline_script() -> None:
    with MonitorServer([preview()], LOCALHOST, "s3cret") as server:
        requests = [f"{method} {path}?token={token} HTTP/1.0\r\n\r\n".encode()
                    for method in ("GET", "POST") for path in PATHS for token in ("s3cret", "wrong")]  # fmt: skip
        requests += [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01", b"G" * 9000]
        for request in requests:
            headers = split(exchange(server, request))[0]
            assert all(headers[name] for name in SECURITY_HEADERS), request
            assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert b"<script>" in page_document().html
    assert b"<style>" in page_document().html


def test_paths_are_decoded_once_and_never_joined() -> None:
    with MonitorServer([preview()], LOCALHOST) as server:
        assert status(exchange(server, b"GET /%68ealthz HTTP/1.0\r\n\r\n")) == 200
        assert status(exchange(server, b"GET /frames/%30.jpg HTTP/1.0\r\n\r\n")) == 200
        for path in (
            "/%2568ealthz",
            "//healthz",
            "/frames/../metrics",
            "/..%2fmetrics",
            "/%00",
            "/%zz",
            "/%ff",
            "/metrics/",
        ):
            assert status(exchange(server, f"GET {path} HTTP/1.0\r\n\r\n".encode())) == 404


def test_an_update_holds_the_images_that_were_not_seen_beside_their_own_states() -> None:
    clock = [0.0]
    live = preview(0)
    live._clock = lambda: clock[0]
    with MonitorServer([live, preview(0), preview(2)], LOCALHOST) as server:
        for index in range(3):
            live.write(Frame(np.zeros((30, 40, 3), np.uint8), index, 0.0), decision(index))
            states, parts = images(server)
            assert set(parts) == {"frame-0", "frame-2"}
            # the image of the first decision is shown until a newer one may be encoded, and its panel with it
            assert states[0]["index"] == states[0]["version"] - 1 == (0 if index < 2 else 2)
            clock[0] += 1 if index else 0
        assert (states[1]["version"], states[1]["decisions"]) == (0, [])
        versions = ".".join(str(state["version"]) for state in states)
        assert images(server, f"?seen={versions}")[1] == {}
        assert set(images(server, "?seen=1")[1]) == {"frame-0", "frame-2"}
        for nonsense in ("?seen=", "?seen=a.b.c.d.e", "?seen=....", "?seen=%00", "?seen=99999999999999999999.-1"):
            assert set(images(server, nonsense)[1]) == {"frame-0", "frame-2"}


def test_a_camera_without_a_frame_is_said_to_have_none_yet() -> None:
    with MonitorServer([preview(0)], LOCALHOST) as server:
        code, body = get(server, "/frames/0.jpg")
    assert (code, b"no frame" in body) == (503, True)


@pytest.mark.slow
def test_a_camera_of_any_name_is_answered_about() -> None:
    live = preview(1)
    live.camera.name = "caf\udce9\n\x1b[31m</script>\u202e"
    with MonitorServer([live], LOCALHOST) as server:
        for path in (*PATHS[:-1], "/events", "/frames/0"):
            assert get(server, path)[0] in (200, 503)


def test_a_response_that_cannot_be_made_is_said_to_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    broken = cast("LivePreview", SimpleNamespace())
    with MonitorServer([broken], LOCALHOST) as server:
        for path in ("/metrics", "/update", "/healthz", "/frames/0.jpg"):
            for _ in range(2):
                assert get(server, path)[0] == 500
        assert exchange(server, b"GET /events HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")  # and ends
        assert get(server, "/")[0] == 200
    assert len(caplog.records) == 5  # one for each path, not for each request
