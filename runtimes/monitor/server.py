"""`MonitorServer`: a web page, Prometheus metrics and a health check of running loops over HTTP."""

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
from allweather.runtimes.monitor.health import check_health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.prometheus import metrics_text

MAX_STREAMS = 16  # at the same time; a page has one stream of events, and one stream of frames per camera
MAX_CONNECTIONS = 24  # each has a thread; those that are not streams are for short requests such as /healthz
MAX_FRAMES_PER_SECOND = 15.0  # sent to one viewer
MAX_EVENTS_PER_SECOND = 10.0  # sent to one viewer
VIEWER_TIMEOUT_SECONDS = 5.0  # after this time, a viewer that reads nothing is disconnected
MAX_SILENT_SECONDS = 1.0  # after this time the last frame is sent again
CONTENT_SECURITY_POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
ALL_ADDRESSES = ("0.0.0.0", "::", "")  # noqa: S104 - a server can listen on these; a URL cannot hold them


class MonitorServer:
    """Serves the state of running loops in a `with` block.

    `/` is the page, `/frames/N` camera N as motion JPEG, `/events` the state of all cameras as server-sent events,
    `/metrics` is for Prometheus, and `/healthz` responds with 200 while frames of every camera are being decided on,
    else with 503 and the problems. Each viewer has a thread of its own, and one that does not read is disconnected: the
    loops never wait for viewers.

    Args:
        previews: One per camera.
        address: Host and port to listen on; port 0 for any free port.
        token: Required for everything but `/healthz`, as `?token=` or `Authorization: Bearer`. It may be empty only if
            the host is a loopback address.

    Attributes:
        url: Address of the page.

    Raises:
        UsageError: The host can be reached from other machines and there is no token.
        OutputError: The address cannot be listened on.
    """

    def __init__(self, previews: Sequence[LivePreview], address: tuple[str, int], token: str = "") -> None:
        host, port = address
        if not token and not is_loopback(host):
            raise UsageError(
                f"a page on {host} can be seen from other machines and needs a token: give --token or set "
                "ALLWEATHER_TOKEN, or leave the host out to serve this machine alone"
            )
        try:
            self._server = _Server((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot serve a page on {host}:{port}: {reason}; choose another port") from error
        self._server.previews, self._server.token = tuple(previews), token
        self._server.local_only = is_loopback(host)
        url_host = socket.gethostname() if host in ALL_ADDRESSES else f"[{host}]" if ":" in host else host
        self.url = f"http://{url_host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="monitor server", daemon=True
        )

    def __enter__(self) -> MonitorServer:
        """Starts the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server, and disconnects all viewers."""
        self._server.stopping.set()
        self._server.shutdown()
        self._server.disconnect_all()
        self._thread.join(1)
        self._server.server_close()


def is_loopback(host: str) -> bool:
    """Returns whether a host name or address can be reached from this machine alone."""
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
        self.stopping = threading.Event()
        self.streams = threading.BoundedSemaphore(MAX_STREAMS)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._lock:
            is_full = len(self._connections) >= MAX_CONNECTIONS
            if not is_full:
                self._connections.add(request)
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores the error: it only means that a viewer has left."""

    def disconnect_all(self) -> None:
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the viewer has just left
                continue


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = VIEWER_TIMEOUT_SECONDS
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "allweather", ""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/healthz":
            self._send_health()
        elif self.server.local_only and not self._is_host_local():
            self._respond(HTTPStatus.FORBIDDEN, "text/plain", b"this page can only be opened as http://localhost\n")
        elif not self._has_token(url.query):
            self._respond(HTTPStatus.UNAUTHORIZED, "text/plain", b"a token is needed: add ?token=... to the address\n")
        elif url.path == "/":
            page = files("allweather.runtimes.monitor").joinpath("page.html").read_bytes()
            self._respond(HTTPStatus.OK, "text/html; charset=utf-8", page)
        elif url.path == "/metrics":
            text = metrics_text(self.server.previews)
            self._respond(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text)
        elif url.path == "/events":
            self._stream(self._send_events)
        elif url.path.startswith("/frames/") and (preview := self._preview(url.path[len("/frames/") :])):
            self._stream(partial(self._send_frames, preview))
        else:
            self._respond(
                HTTPStatus.NOT_FOUND, "text/plain", b"not found; there are /, /frames/0, /events, /metrics, /healthz\n"
            )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name in the library
        """Logs nothing, as the addresses hold tokens."""

    def _is_host_local(self) -> bool:
        """Returns whether the browser used a local name of this machine, and not a public one that resolves to it."""
        return is_loopback(urlsplit("//" + self.headers.get("Host", "localhost")).hostname or "")

    def _has_token(self, query: str) -> bool:
        token = parse_qs(query).get("token", [""])[0] or self.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(token.encode(), self.server.token.encode()) if self.server.token else True

    def _preview(self, text: str) -> LivePreview | None:
        index = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1
        return self.server.previews[index] if 0 <= index < len(self.server.previews) else None

    def _send_health(self) -> None:
        health = check_health(self.server.previews)
        body = {"alive": health.alive, "ready": health.ready, "problems": list(health.problems)}
        status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
        self._respond(status, "application/json", json.dumps(body).encode() + b"\n")

    def _respond(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self._send_headers(content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_headers(self, content_type: str) -> None:
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)

    def _stream(self, send: Callable[[], None]) -> None:
        """Sends a stream until its viewer leaves, unless there are too many streams."""
        if not self.server.streams.acquire(blocking=False):
            self._respond(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"too many viewers; close another page\n")
            return
        try:
            send()
        finally:
            self.server.streams.release()

    def _viewer_has_left(self) -> bool:
        """Returns whether the viewer has closed the connection. A write would also notice it."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _send_frames(self, preview: LivePreview) -> None:
        """Sends motion JPEG, in which each image replaces the one before."""
        self.send_response(HTTPStatus.OK)
        self._send_headers("multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        version = 0
        while not self.server.stopping.wait(1 / MAX_FRAMES_PER_SECOND):
            version = preview.wait(version, MAX_SILENT_SECONDS)
            if jpeg := preview.jpeg():  # sent again if there is no newer one, to notice a viewer that has left
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            elif self._viewer_has_left():
                return

    def _send_events(self) -> None:
        """Sends server-sent events: each is a JSON list with one object per camera."""
        self.send_response(HTTPStatus.OK)
        self._send_headers("text/event-stream")
        self.end_headers()
        while not self.server.stopping.wait(1 / MAX_EVENTS_PER_SECOND):
            states = json.dumps([preview.snapshot() for preview in self.server.previews], allow_nan=False)
            self.wfile.write(f"data: {states}\n\n".encode())
