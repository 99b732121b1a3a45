"""`Response`: what the monitor server sends, with the headers that every response has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

NOTHING_MAY_LOAD = "default-src 'none'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Response:
    """The response to a request.

    Attributes:
        status: Status of HTTP.
        content_type: Media type of the body.
        body: Pieces of the body, which viewers may share; the beginning of the body if a stream goes on after it.
        policy: Content security policy: what a browser that shows the body may load and run.
        headers: Further headers, as lines.
        is_stream: Whether the body has no known end, so that only the end of the connection ends it.
    """

    status: HTTPStatus
    content_type: str
    body: Sequence[bytes] = ()
    policy: str = NOTHING_MAY_LOAD
    headers: Sequence[str] = ()
    is_stream: bool = False

    def head(self) -> bytes:
        """Returns the status line and the headers. A connection serves one request, so all say that it closes."""
        length = [] if self.is_stream else [f"Content-Length: {sum(map(len, self.body))}"]
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Server: allweather",
            f"Date: {formatdate(usegmt=True)}",
            "Connection: close",
            f"Content-Type: {self.content_type}",
            *length,
            *self.headers,
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            f"Content-Security-Policy: {self.policy}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def text_response(status: HTTPStatus, text: str, headers: Sequence[str] = ()) -> Response:
    """Returns a response for people: one line of plain text."""
    return Response(status, "text/plain; charset=utf-8", (text.encode("utf-8", "replace") + b"\n",), headers=headers)
