"""Parses the head of an HTTP request, which anybody may have sent, strictly and in bounded time and memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from allweather.runtimes.monitor.response import Response, text_response

MAX_LINE_BYTES = 8 * 1024  # of the request line
MAX_HEAD_BYTES = 32 * 1024  # browsers send the cookies of all ports of a host, which may be 10 KB

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_HEADER_NAME = re.compile(_TOKEN)
_HEAD_ENDS = (b"\r\n\r\n", b"\n\n", b"\n\r\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is allowed
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9a-f:.%]+)\]|([^\[\]:@/?#]*))(?::[0-9]*)?")


@dataclass(frozen=True)
class Request:
    """The head of a request.

    Attributes:
        method: Method, such as "GET".
        path: Path without the query, percent-decoded; bytes that are not UTF-8 are replaced.
        query: Query without its "?", as it was sent.
        host: Host name or address that the client used, in lower case and without port; None if it sent none, which
            only HTTP/1.0 allows.
        authorization: Value of the header `Authorization`; empty if there is none.
    """

    method: str
    path: str
    query: bytes
    host: str | None
    authorization: bytes

    @property
    def credentials(self) -> Sequence[bytes]:
        """The tokens that were sent: `token=...` of the query, and `Authorization: Bearer ...`."""
        fields = (field.partition(b"=") for field in self.query.split(b"&"))
        tokens = [unquote_to_bytes(value) for name, _, value in fields if name == b"token"]  # "+" is a part of a token
        scheme, _, token = self.authorization.partition(b" ")
        return [*tokens, token.strip()] if scheme.lower() == b"bearer" else tokens

    def parameter(self, name: bytes) -> str:
        """Returns the first value of a parameter of the query as ASCII text; empty if it is missing or has none."""
        fields = (field.partition(b"=") for field in self.query.split(b"&"))
        return next((value for key, _, value in fields if key == name), b"").decode("ascii", "replace")


class HeadReader:
    """Collects the head of a request from the pieces in which it arrives, in time proportional to its length."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._has_line = False  # whether the request line is complete, and one

    def feed(self, data: bytes) -> Request | Response | None:
        """Adds what was received; `data` is empty when nothing more will come.

        Returns:
            The request when its head is complete; a refusal as soon as it is certain that this is no request; else
            None, also if the client has sent nothing at all.
        """
        searched = max(0, len(self._received) - 3)
        self._received += data
        if not self._has_line:
            searched = 0
            del self._received[: len(self._received) - len(self._received.lstrip(b"\r\n"))]  # HTTP allows empty lines
            if refusal := _check_line(self._received):
                return refusal
            self._has_line = b"\n" in self._received
        ends = [self._received.find(end, searched) + len(end) for end in _HEAD_ENDS]
        length = min((end for end, mark in zip(ends, _HEAD_ENDS, strict=True) if end >= len(mark)), default=0)
        if max(length, len(self._received) if not length else 0) > MAX_HEAD_BYTES:
            return text_response(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of the request is larger than {MAX_HEAD_BYTES} bytes",
            )
        if length:
            return parse_request(bytes(self._received[:length]))
        if not data and self._received:
            return text_response(HTTPStatus.BAD_REQUEST, "the request ended before the empty line that ends its head")
        return None

    def time_out(self) -> Response | None:
        """Returns the refusal of a head that takes too long; None if the client has sent nothing at all."""
        if not self._received:
            return None
        return text_response(HTTPStatus.REQUEST_TIMEOUT, "the head of the request was not complete in time")


def _check_line(received: bytearray) -> Response | None:
    """Returns the refusal of what begins no request; None while it may begin one.

    Without it, a client that speaks TLS or HTTP/0.9 would wait for a response until its time has run out.
    """
    if received[:1] == b"\x16":  # the first byte of every TLS connection
        return text_response(HTTPStatus.BAD_REQUEST, "this port speaks plain HTTP; open http:// instead of https://")
    line, end, _ = bytes(received).partition(b"\n")
    if len(line) > MAX_LINE_BYTES:
        return text_response(HTTPStatus.REQUEST_URI_TOO_LONG, f"the address is longer than {MAX_LINE_BYTES} bytes")
    if end and not _REQUEST_LINE.fullmatch(line.removesuffix(b"\r")):
        return text_response(
            HTTPStatus.BAD_REQUEST,
            "the first line must be a request of HTTP/1.0 or HTTP/1.1: GET /healthz HTTP/1.1",
        )
    return None


def parse_request(head: bytes) -> Request | Response:
    """Parses a head.

    Args:
        head: All lines, with the empty one at the end.

    Returns:
        The request, or the refusal of a head that HTTP does not allow or that two programs could read differently.
    """
    first, *lines = head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    match = _REQUEST_LINE.fullmatch(first)
    if not match:
        return text_response(HTTPStatus.BAD_REQUEST, "the first line is no request of HTTP/1.0 or 1.1")
    method, target, major, minor = match.groups()
    if major != b"1":
        return text_response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.0 and HTTP/1.1")
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            return text_response(HTTPStatus.BAD_REQUEST, "a line of the head is not of the form `Name: value`")
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if problem := _find_conflict(headers, needs_host=minor != b"0"):
        return text_response(HTTPStatus.BAD_REQUEST, problem)
    absolute = _ABSOLUTE.fullmatch(target)
    authority, target = (absolute[1], absolute[2]) if absolute else (None, target)
    host, is_valid = _host_name(headers.get(b"host", [authority])[0] if authority is None else authority)
    if not is_valid:
        return text_response(HTTPStatus.BAD_REQUEST, "the host is not a name or address with an optional port")
    path, _, query = target.partition(b"?")
    decoded_path = unquote_to_bytes(path).decode("utf-8", "replace") or "/"
    return Request(method.decode(), decoded_path, query, host, headers.get(b"authorization", [b""])[0])


def _find_conflict(headers: dict[bytes, list[bytes]], *, needs_host: bool) -> str:
    """Returns what is missing or contradictory in the headers; empty if nothing is."""
    if len(headers.get(b"host", [])) > 1 or (needs_host and b"host" not in headers):
        return "a request of HTTP/1.1 needs exactly one header `Host`"
    if len(headers.get(b"authorization", [])) > 1:
        return "there are several headers `Authorization`; send one"
    lengths = headers.get(b"content-length", [])
    if len(lengths) > 1 or (lengths and b"transfer-encoding" in headers) or not all(map(bytes.isdigit, lengths)):
        return "the headers contradict each other about the length of the body"
    return ""


def _host_name(host: bytes | None) -> tuple[str | None, bool]:
    """Returns the name or address of HOST[:PORT] in lower case, and whether it is valid."""
    if host is None:
        return None, True
    match = _HOST.fullmatch(host.decode("latin-1").lower())
    return (match[1] or match[2], True) if match else (None, False)
