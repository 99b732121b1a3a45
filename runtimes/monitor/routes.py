"""`Routes`: the response to each request, and who may see what."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from allweather.runtimes.errors import UsageError
from allweather.runtimes.monitor.document import page_document
from allweather.runtimes.monitor.health import check_health
from allweather.runtimes.monitor.preview import EncodedFrame, LivePreview
from allweather.runtimes.monitor.prometheus import metrics_text
from allweather.runtimes.monitor.request import Request
from allweather.runtimes.monitor.response import Response, text_response
from allweather.runtimes.monitor.streams import EventStream, FrameStream, Stream

METHODS = ("GET", "HEAD")
KNOWN_PATHS = "/, /update, /history, /events, /frames/0, /frames/0.jpg, /metrics, /healthz"


class Routes:
    """The paths of the monitor server.

    Args:
        previews: One per camera.
        token: Token that everything but `/healthz` needs; empty for none.
        local_only: Whether requests must have used a local name of this machine. Without this check, a page of another
            host, the name of which resolves to this machine, could read what only this machine may see.
    """

    def __init__(self, previews: Sequence[LivePreview], token: str, *, local_only: bool) -> None:
        self._previews, self._token, self._local_only = tuple(previews), token.encode(), local_only
        self._boundary = secrets.token_hex(16)  # between the parts of an update; no image can hold it but by chance
        self._paths: Mapping[str, Callable[[Request], Response]] = {
            "/": self._page, "/update": self._update, "/history": self._history, "/metrics": self._metrics,
        }  # fmt: skip

    def respond(self, request: Request) -> Response | Stream:
        """Returns the response to a request."""
        return self._refuse(request) or self._respond(request)

    def _refuse(self, request: Request) -> Response | None:
        """Returns the refusal of a request that is not allowed; None if it is."""
        if request.method not in METHODS:
            allowed = ", ".join(METHODS)
            return text_response(
                HTTPStatus.METHOD_NOT_ALLOWED, f"this server takes {allowed} only", [f"Allow: {allowed}"]
            )
        if request.path == "/healthz":
            return None
        if self._local_only and not is_loopback(request.host if request.host is not None else "localhost"):
            return text_response(
                HTTPStatus.FORBIDDEN,
                f"this page is served under local names only, such as localhost; the request named {request.host!a}. "
                "Open http://localhost:PORT/. A reverse proxy must send `Host: localhost` (nginx: `proxy_set_header "
                "Host localhost;`, Caddy: `header_up Host localhost`), or set a token with --token",
            )
        if self._token and not any(hmac.compare_digest(sent, self._token) for sent in request.credentials):
            return text_response(
                HTTPStatus.UNAUTHORIZED,
                "a token is needed: add ?token=... to the address, or send the header `Authorization: Bearer ...`",
                ["WWW-Authenticate: Bearer"],
            )
        return None

    def _respond(self, request: Request) -> Response | Stream:
        if request.path == "/healthz":  # of all paths, only this one needs no token
            return self._health()
        if request.path == "/events":
            return EventStream(lambda: [preview.snapshot() for preview in self._previews])
        if respond := self._paths.get(request.path):
            return respond(request)
        folder, _, name = request.path.rpartition("/")
        if folder == "/frames" and (preview := self._preview(name.removesuffix(".jpg"))):
            return _image(preview) if name.endswith(".jpg") else FrameStream(preview)
        return text_response(
            HTTPStatus.NOT_FOUND,
            f"not found; there are {KNOWN_PATHS}. A reverse proxy must remove the prefix that it adds to the path",
        )

    def _preview(self, text: str) -> LivePreview | None:
        index = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1
        return self._previews[index] if 0 <= index < len(self._previews) else None

    def _page(self, request: Request) -> Response:
        document = page_document()
        return Response(HTTPStatus.OK, "text/html; charset=utf-8", (document.html,), document.policy)

    def _metrics(self, request: Request) -> Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return Response(HTTPStatus.OK, content_type, (metrics_text(self._previews),))

    def _history(self, request: Request) -> Response:
        """What each camera decided in the last minutes, second by second."""
        body = json.dumps([preview.timeline() for preview in self._previews], allow_nan=False).encode()
        return Response(HTTPStatus.OK, "application/json", (body,))

    def _health(self) -> Response:
        health = check_health(self._previews)
        body = {"alive": health.alive, "ready": health.ready, "problems": list(health.problems)}
        status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status, "application/json", (json.dumps(body).encode() + b"\n",))

    def _update(self, request: Request) -> Response:
        """The states of all cameras, and the images of those that the viewer has not seen, by `seen=VERSION.VERSION`.

        All in one response: a browser opens at most six connections to a host, however many cameras and tabs there
        are. An image and the state beside it are of the same frame.
        """
        seen = request.parameter(b"seen").split(".")
        states: list[Mapping[str, Any]] = []
        images: list[tuple[str, bytes]] = []
        for index, preview in enumerate(self._previews):
            frame = preview.encode()
            states.append(
                {
                    **preview.snapshot(frame.decisions if frame else None),
                    "version": frame.version if frame else 0,
                    "index": int(frame.index) if frame else None,
                }
            )
            if frame and str(frame.version) != (seen[index] if index < len(seen) else ""):
                disposition = f'name="frame-{index}"; filename="frame-{index}.jpg"'
                images.append((f"{disposition}\r\nContent-Type: image/jpeg", frame.jpeg))
        parts = [('name="states"', json.dumps(states, allow_nan=False).encode()), *images]
        body: list[bytes] = []
        for head, content in parts:
            disposition = f"--{self._boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n"
            body += [disposition.encode(), content, b"\r\n"]
        body.append(f"--{self._boundary}--\r\n".encode())
        return Response(HTTPStatus.OK, f"multipart/form-data; boundary={self._boundary}", body)


def _image(preview: LivePreview) -> Response:
    """Returns the newest frame as a single image."""
    frame: EncodedFrame | None = preview.encode()
    if frame is None:
        return text_response(
            HTTPStatus.SERVICE_UNAVAILABLE, "there is no frame of this camera yet; try again", ["Retry-After: 1"]
        )
    headers = [f"X-Frame-Index: {int(frame.index)}"]
    return Response(HTTPStatus.OK, "image/jpeg", (frame.jpeg,), headers=headers)


def is_loopback(host: str) -> bool:
    """Returns whether a host name or address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_token(host: str, token: str) -> None:
    """Checks that a page may be served on a host with a token, without serving it.

    Args:
        host: Where it listens.
        token: Its token; may be empty.

    Raises:
        UsageError: The host can be reached from other machines and there is no token, or no request can hold the token.
    """
    if not token and not is_loopback(host):
        raise UsageError(
            f"a page on {host} can be seen from other machines and needs a token: give --token or set "
            "ALLWEATHER_TOKEN, or leave the host out to serve this machine alone"
        )
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError(
            "the token of the page must consist of letters, digits and signs of ASCII without spaces, as no "
            "browser sends others unchanged; got one with other characters"
        )
