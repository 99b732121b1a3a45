"""Decisions to an HTTP server that fails, refuses, redirects and hangs up."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from decisions import decision, frame

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.webhook import WebhookSink, signature
from allweather.runtimes.sinks.webhook import sink as webhook
from allweather.runtimes.sinks.webhook.delivery import Receiver

SECRET = "s3cret"  # noqa: S105 -- no secret


@pytest.fixture(autouse=True)
def _quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MIN_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(webhook, "MAX_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(webhook, "CLOSE_SECONDS", 60.0)


class Server:
    """A receiver: takes a list of what to say, one a POST; then it accepts everything."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.statuses: list[int] = []
        self.headers: list[Any] = []
        self.bodies: list[bytes] = []
        self.accepted: list[dict[str, Any]] = []
        self.location = "http://127.0.0.2/elsewhere?token=s3cret"
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def indices(self) -> list[int]:
        return [each["index"] for body in self.accepted for each in body["decisions"]]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, self.accepted
            time.sleep(0.01)


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """Runs a receiver while the `with` block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.gate.wait(10)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.headers.append(self.headers)
            receiver.bodies.append(body)
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            if status == 0:  # hangs up
                return
            if status < 300:
                receiver.accepted.append(json.loads(body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiver.location)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    class HttpServer(ThreadingHTTPServer):
        allow_reuse_address = True

    with HttpServer(("127.0.0.1", port), Handler) as server:
        receiver = Server(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def test_decisions_and_events_arrive_signed(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as receiver:
        receiver.gate.clear()
        sink = WebhookSink(
            receiver.url.replace("//", "//me:p%40ss@"), source="front", secret=SECRET, wall_clock=lambda: 1.7e9,
            clock=lambda: 5.0,
        )  # fmt: skip
        sink.open()
        sink.write(frame(0), decision(0, label="né\ud800"))
        for index in range(1, 5):
            sink.write(frame(index), decision(index))
        sink.write_event(Event("connection", "0", "waiting", "gone", 3.0))
        receiver.gate.set()
        sink.close()
    assert receiver.indices == [*range(5)]
    assert receiver.accepted[0]["decisions"][0]["label"] == "né\\ud800"
    (event,) = [each for body in receiver.accepted for each in body["events"]]
    assert event == {"time": 1.7e9 - 2, "event": "connection", "source": "front", "state": "waiting", "reason": "gone"}
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        expected = signature(SECRET.encode(), headers["X-Allweather-Timestamp"], body)
        assert headers["X-Allweather-Signature"] == f"sha256={expected}"
        assert headers["X-Allweather-Timestamp"] == "1700000000"
        assert headers["Content-Type"] == "application/json"
        assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert not caplog.records


def test_the_signature_is_that_of_the_standard() -> None:
    """Computed by: printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret."""
    assert signature(b"s3cret", "1700000000", b"{}") == SIGNED


SIGNED = "97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf"


def test_a_receiver_that_fails_gets_everything_once_it_works(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as receiver:
        receiver.statuses += [500, 503, 0, 429, 408]
        sink = WebhookSink(receiver.url, source="front", batch_size=7)
        sink.open()
        for index in range(100):
            sink.write(frame(index), decision(index))
        sink.close()
        assert receiver.indices == [*range(100)]
        assert max(len(body["decisions"]) for body in receiver.accepted) <= 7
        deliveries = [headers["X-Allweather-Delivery"] for headers in receiver.headers]
    assert len(set(deliveries[:6])) == 1  # one body, tried six times
    assert len(set(deliveries)) == len(receiver.accepted)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "one line of the fault and one of its end, whatever else happened within a minute"
    assert "500 Internal Server Error; trying again, and decisions wait" in said[0]
    assert "takes decisions again" in said[1]


def test_a_receiver_that_is_gone_and_back_misses_nothing() -> None:
    with serving() as receiver:
        port = receiver.port
        sink = WebhookSink(receiver.url, source="front")
        sink.open()
        sink.write(frame(0), decision(0))
        receiver.wait_for(lambda: receiver.indices == [0])
    for index in range(1, 50):
        sink.write(frame(index), decision(index))
    with serving(port) as receiver:
        sink.write(frame(50), decision(50))
        receiver.wait_for(lambda: len(receiver.indices) == 50)
        sink.close()
    assert receiver.indices == [*range(1, 51)]


@pytest.mark.parametrize("status", [400, 401, 404, 301, 302, 307, 308])
def test_what_is_refused_is_not_tried_again_and_told_at_the_end(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as receiver:
        receiver.statuses.append(status)
        sink = WebhookSink(f"{receiver.url}?token=s3cret", source="front", batch_size=1)
        sink.open()
        sink.write(frame(0), decision(0))
        receiver.wait_for(lambda: bool(receiver.bodies))
        sink.write(frame(1), decision(1))
        with pytest.raises(OutputError, match=rf"^1 decisions or events .* at http://127.0.0.1:\d+/\*\*\*: {status} "):
            sink.close()
        assert receiver.indices == [1]
    assert f"{status} " in caplog.records[0].getMessage()
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("location", ["http://[::1", "//[bad", "http://h:x/", "", "\xff"])
def test_a_redirection_to_what_is_no_address_is_refused_as_any_other(location: str) -> None:
    with serving() as receiver:
        receiver.statuses, receiver.location = [301], location
        sink = WebhookSink(receiver.url, batch_size=1)
        sink.open()
        sink.write(frame(0), decision(0))
        receiver.wait_for(lambda: bool(receiver.bodies))
        sink.write(frame(1), decision(1))
        with pytest.raises(OutputError, match=r"^1 decisions or events .*: 301 Moved Permanently, which is not"):
            sink.close()
        assert receiver.indices == [1]


def test_what_does_not_speak_http_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=greet)
        thread.start()
        outcome = Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}", secret="", timeout=5).post(
            b"{}", "1", 1.7e9
        )
        thread.join()
    assert outcome.kind == "failed"
    assert outcome.fault in (
        "it does not speak HTTP, but says: SSH-2.0-OpenSSH",
        "[Errno 104] Connection reset by peer",
    )


def test_the_path_is_in_no_message_as_it_may_be_a_secret() -> None:
    for path in ("services/T0/B0/abcdefgh", "?key=abcdefgh", "x#abcdefgh"):
        assert str(Receiver(f"https://me:abcdefgh@host:99/{path}", secret="", timeout=1)) == "https://host:99/***"
    assert str(Receiver("https://host/", secret="", timeout=1)) == "https://host"


def test_the_oldest_are_dropped_for_a_receiver_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as receiver:
        receiver.gate.clear()
        sink = WebhookSink(receiver.url, source="front", max_waiting=10, batch_size=5)
        sink.open()
        for index in range(100):
            sink.write(frame(index), decision(index))
        receiver.gate.set()
        receiver.wait_for(lambda: bool(receiver.indices) and receiver.indices[-1] == 99)
        arrived = receiver.indices
        assert arrived[-10:] == [*range(90, 100)]
        with pytest.raises(
            OutputError, match=rf"^{100 - len(arrived)} decisions or events are missing .* it was too slow or away"
        ):
            sink.close()
    assert sum("the oldest of them are dropped" in record.getMessage() for record in caplog.records) == 1


def test_nobody_there_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "CLOSE_SECONDS", 0.2)
    sink = WebhookSink("http://127.0.0.1:9/hook")
    sink.open()
    sink.write(frame(), decision())
    with pytest.raises(OutputError, match=r"^1 decisions or events .* at http://127.0.0.1:9/\*\*\*: .*refused"):
        sink.close()


@pytest.mark.parametrize(
    "url",
    [
        "", "host/path", "ftp://host", "file:///etc/passwd", "http://", "http://host:0", "http://host:x/",
        "http://h/a b", "http://h/é", "http://me:s3cret@h:x/", "http://h/\r\nX: 1",
    ],
)  # fmt: skip
def test_what_is_no_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match=r"^a webhook is http:// or https:// with a host") as told:
        WebhookSink(url)
    assert "s3cret" not in str(told.value)


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    with serving() as receiver:
        monkeypatch.setenv("HOOK", receiver.url)
        sink = WebhookSink("env:HOOK", secret=f"file:{tmp_path / 'secret'}")
        sink.open()
        sink.write(frame(), decision())
        sink.close()
    stamp, signed = (receiver.headers[0][f"X-Allweather-{name}"] for name in ("Timestamp", "Signature"))
    assert signed == f"sha256={signature(b's3cret', stamp, receiver.bodies[0])}"
    with pytest.raises(UsageError, match="the environment variable GONE of the URL of the webhook env:GONE is not set"):
        WebhookSink("env:GONE")
    with pytest.raises(UsageError, match="the secret of the webhook is not text in UTF-8"):
        WebhookSink("http://host", secret="s\udcff")  # noqa: S106 -- no secret
    with pytest.raises(UsageError, match="timeout of a webhook is a number above 0; got 0"):
        WebhookSink("http://host", timeout=0)


def test_percent_signs_that_are_no_text_are_told_without_the_password() -> None:
    with pytest.raises(UsageError, match=r"^the percent signs in the password of the webhook .* as %25$"):
        Receiver("http://user:s3cret%ff@host/", secret="", timeout=1)


def test_a_sink_that_was_closed_is_opened_again() -> None:
    with serving() as receiver:
        sink = WebhookSink(receiver.url)
        for index in range(3):
            sink.open()
            sink.write(frame(index), decision(index))
            sink.close()
        assert receiver.indices == [0, 1, 2]
