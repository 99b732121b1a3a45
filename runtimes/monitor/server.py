"""The watch page: what cameras see and how it is decided on, for a browser, Prometheus and a supervisor, over HTTP."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.monitor.health import health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.prometheus import metrics_text

STREAMS_MOST = 16  # of pictures and states, at a time; a page has one of states and one a camera
VIEWERS_MOST = 24  # connections, of a thread each: those that stay leave room for a question such as /healthz
PICTURES_A_SECOND = 15.0  # sent to a viewer at most
STATES_A_SECOND = 10.0
PATIENCE_SECONDS = 5.0  # with a viewer that reads nothing
POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
KEEPING_SECONDS = 1.0  # at most so long nothing is sent, once there is a picture


ANY = ("0.0.0.0", "::", "")  # noqa: S104 - all addresses of this machine, none of which a viewer can ask for


class MonitorServer:
    """Serves some channels while it is open. A context manager.

    `/` is the page, `/frames/N` camera N as motion JPEG, `/events` the state of all as server-sent events, `/metrics`
    for Prometheus, `/healthz` 200 while every camera is decided on and 503 with the troubles otherwise. Viewers have
    threads of their own, and one that does not read is cut off: the loops never wait for them.

    Args:
        channels: one a camera.
        address: host and port; port 0 for a free one.
        token: asked for by all but `/healthz`, as `?token=` or `Authorization: Bearer`; may be empty on loopback.

    Raises:
        UsageError: the address is open to others and there is no token.
        OutputError: the address cannot be listened on.
    """

    def __init__(self, previews: Sequence[LivePreview], address: tuple[str, int], token: str = "") -> None:
        host, port = address
        if not token and not is_loopback(host):
            raise UsageError(
                f"a page on {host} can be seen by others and needs a token: give --token or set ALLWEATHER_TOKEN, or "
                "leave the host out to serve this machine alone"
            )
        try:
            self._server = _Server((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot serve a page on {host}:{port}: {reason}; choose another port") from error
        self._server.previews, self._server.token = tuple(previews), token
        self._server.local_only = is_loopback(host)
        shown = socket.gethostname() if host in ANY else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True)

    def __enter__(self) -> MonitorServer:
        """Begins to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends, and with it every viewer's thread."""
        self._server.ending.set()
        self._server.shutdown()
        self._server.cut_off()
        self._thread.join(1)
        self._server.server_close()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    previews: tuple[LivePreview, ...] = ()
    token = ""
    local_only = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ending = threading.Event()
        self.streams = threading.BoundedSemaphore(STREAMS_MOST)
        self._viewers: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._lock:
            full = len(self._viewers) >= VIEWERS_MOST
            if not full:
                self._viewers.add(request)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._viewers.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that left is no trouble."""

    def cut_off(self) -> None:
        """Ends all viewers."""
        with self._lock:
            viewers = tuple(self._viewers)
        for viewer in viewers:
            try:
                viewer.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has just left
                continue


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_SECONDS
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "allweather", ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/healthz":
            self._health()
        elif self.server.local_only and not self._meant_for_us():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for http://localhost alone\n")
        elif not self._knows_token(parts.query):
            self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"a token is needed: add ?token=... to the address\n")
        elif parts.path == "/":
            page = files("allweather.runtimes.monitor").joinpath("page.html").read_bytes()
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page)
        elif parts.path == "/metrics":
            self._answer(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics_text(self.server.previews))
        elif parts.path == "/events":
            self._stay(self._events)
        elif parts.path.startswith("/frames/") and (preview := self._channel(parts.path[len("/frames/") :])):
            self._stay(partial(self._frames, preview))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /, /frames/0, /events, /metrics, /healthz\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the library
        """Says nothing: addresses hold tokens."""

    def _meant_for_us(self) -> bool:
        """Whether the browser asked for this machine by its own name, not by one from outside that points to it."""
        return is_loopback(urlsplit("//" + self.headers.get("Host", "localhost")).hostname or "")

    def _knows_token(self, query: str) -> bool:
        given = parse_qs(query).get("token", [""])[0] or self.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self.server.token.encode()) if self.server.token else True

    def _channel(self, text: str) -> LivePreview | None:
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1
        return self.server.previews[number] if 0 <= number < len(self.server.previews) else None

    def _health(self) -> None:
        now = health(self.server.previews)
        told = {"alive": now.alive, "serving": now.serving, "troubles": list(now.troubles)}
        status = HTTPStatus.OK if now.serving else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(told).encode() + b"\n")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", POLICY)

    def _stay(self, stream: Callable[[], None]) -> None:
        """Sends a stream until its viewer leaves."""
        if not self.server.streams.acquire(blocking=False):
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"too many are watching; close another page\n")
            return
        try:
            stream()
        finally:
            self.server.streams.release()

    def _has_left(self) -> bool:
        """Whether the viewer has closed the connection, which a write would notice, too."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _frames(self, preview: LivePreview) -> None:
        """Motion JPEG: each picture replaces the one before."""
        self.send_response(HTTPStatus.OK)
        self._headers("multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while not self.server.ending.wait(1 / PICTURES_A_SECOND):
            number = preview.wait(number, KEEPING_SECONDS)
            if picture := preview.picture():  # the last one again where there is none newer: so who has left is noticed
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
            elif self._has_left():
                return

    def _events(self) -> None:
        """Server-sent events: one JSON list, an object a camera."""
        self.send_response(HTTPStatus.OK)
        self._headers("text/event-stream")
        self.end_headers()
        while not self.server.ending.wait(1 / STATES_A_SECOND):
            told = json.dumps([preview.snapshot() for preview in self.server.previews], allow_nan=False)
            self.wfile.write(f"data: {told}\n\n".encode())
