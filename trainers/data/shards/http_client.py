"""Opens files of web servers by HTTP, with one clear line for what goes wrong."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from allweather.runtimes.errors import DataError, first_line
from allweather.runtimes.redaction import redacted_addresses
from allweather.runtimes.text import printable
from allweather.trainers.data.shards.patterns import shown

TIMEOUT = 30.0  # seconds without a byte
BLOCK_BYTES = 1 << 20
MAX_SECONDS = 2**33  # that file systems can keep as the time of a file
_TOTAL = re.compile(r"bytes \d+-\d+/(\d{1,18})")


class UnreachableError(DataError):
    """The server gave no response."""


class StatusError(DataError):
    """The server refused.

    Args:
        message: The line for the user.
        status: Code of HTTP, such as 404.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Response:
    """A file that a server has begun to send.

    Args:
        url: Its address.
        opened: The response of Python's client.
    """

    def __init__(self, url: str, opened: http.client.HTTPResponse) -> None:
        self._url, self._opened = url, opened
        length = opened.headers.get("Content-Length", "")
        self.length = int(length) if length.isdecimal() and len(length) < 19 else None
        self.changed = _seconds(opened.headers.get("Last-Modified", ""))  # since 1970; None if the server does not say

    def total(self) -> int | None:
        """Returns the bytes of the whole file, if only a part was asked for, too; None if the server does not say."""
        if self._opened.status != http.client.PARTIAL_CONTENT:
            return self.length
        found = _TOTAL.fullmatch(self._opened.headers.get("Content-Range", ""))
        return int(found[1]) if found else None

    def blocks(self) -> Iterator[bytes]:
        """Yields the content.

        Raises:
            DataError: The server stops sending before the end.
        """
        received = 0
        while block := self._read():
            received += len(block)
            yield block
        if self.length is not None and received != self.length:
            raise DataError(
                f"{shown(self._url)} ended after {received} of {self.length} bytes; nothing of it is kept: try again"
            )

    def _read(self) -> bytes:
        with network_errors(self._url):
            try:
                return self._opened.read(BLOCK_BYTES)
            except ValueError as error:  # a chunk of a negative size
                raise http.client.IncompleteRead(b"") from error


@contextmanager
def open_url(url: str, headers: Mapping[str, str] | None = None) -> Iterator[Response]:
    """Opens a file by HTTP; a name and password in its URL are sent to its server alone.

    Args:
        url: Its address.
        headers: Headers of the request.

    Raises:
        UnreachableError: There is no server, or it does not respond in time.
        StatusError: It refuses.
        DataError: The URL is none.
    """
    with network_errors(url):
        request = _request(url, headers or {})
        opened = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - patterns name http and https only
    with opened:
        yield Response(url, opened)


def _request(url: str, headers: Mapping[str, str]) -> urllib.request.Request:
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=dict(headers))  # noqa: S310
    if at:
        encoded = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


@contextmanager
def network_errors(url: str) -> Iterator[None]:
    """Turns what Python's client raises into one clear line, which names the URL without a password."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        cure = "check its user and password" if error.code in (401, 403) else "check the address"
        line = (
            f"{shown(url)} cannot be fetched: the server responds {error.code} {printable(error.reason[:80])}; {cure}"
        )
        raise StatusError(line, error.code) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            reason = f"no response within {TIMEOUT:g} s; check the address, or try again"
        elif isinstance(cause, ssl.SSLError):
            reason = f"{first_line(cause)}; check the address"
        elif isinstance(cause, OSError):
            reason = f"{(cause.strerror or first_line(cause)).lower()}; check the address and the network"
        elif isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.InvalidURL):
            reason = f"the server broke off ({type(error).__name__}); try again"
        else:  # its text may hold the password
            raise DataError(f"{shown(url)} is no valid URL; correct it") from error
        raise UnreachableError(f"{shown(url)} cannot be fetched: {redacted_addresses(reason)}") from error


def _seconds(date: str) -> float | None:
    """Returns the seconds since 1970 of a date in a header of HTTP; None for what is no such date."""
    try:
        seconds = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < MAX_SECONDS else None
