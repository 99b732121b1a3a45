"""An engine that runs on a server: a Triton Inference Server or an OpenVINO Model Server, over HTTP."""

from __future__ import annotations

import http.client
import math
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from allweather.runtimes.engines import kserve
from allweather.runtimes.errors import EngineError, EngineTimeoutError, UsageError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image

MAX_CALL_SECONDS = 10.0  # of a call, if its frame has no earlier deadline: a server may compile a batch size first


class RemoteEngine:
    """Runs a model on a server, through one connection that is kept open.

    The time limit of a call includes everything from connecting to the last byte, however slowly the bytes arrive.
    After a call that failed, the next one connects again. Connections are not encrypted.

    Args:
        address: http://HOST[:PORT]; the host name is resolved once, here.
        model: Name of the model on the server.
        spec: Size of the images that the model must take.
        outputs: Number of outputs that the model must give for each image.
        call_seconds: Longest time of a call.
        seconds_left: Returns how many seconds a call may take at this moment.

    Raises:
        UsageError: The address is not valid.
        EngineError: There is no server at this address, or it has no such model.
        EngineTimeoutError: The server does not respond in time.
    """

    def __init__(
        self,
        address: str,
        model: str,
        spec: InputSpec,
        outputs: int,
        *,
        call_seconds: float = MAX_CALL_SECONDS,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._host, self._port = _parse_address(address)
        self._name = f"{self._host}:{self._port} {model}"
        self._path, self._call_seconds, self._seconds_left = kserve.model_path(model), call_seconds, seconds_left
        self._connection = http.client.HTTPConnection(self._host, self._port)
        self._connection.response_class = _Response
        self._socket: _DeadlineSocket | None = None
        try:
            self._addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise EngineError(f"{self._name}: {first_line(error)}; check the name of the host") from error
        try:
            text = self._call("GET", self._path, b"", {}, kserve.MAX_HEADER_BYTES)
            self._metadata = kserve.read_metadata(text, self._name)
            self._check_metadata(spec, outputs)
        except EngineError:
            self.close()
            raise

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`.

        Raises:
            EngineError: The server refuses the request, sends something else than outputs, or cannot be reached.
            EngineTimeoutError: The server has not responded in time.
        """
        headers, body = kserve.encode_request(self._metadata, images)
        max_bytes = kserve.max_response_bytes(len(images), self._metadata.outputs)
        text = self._call("POST", f"{self._path}/infer", body, headers, max_bytes)
        return kserve.decode_response(text, self._metadata, len(images), self._name)

    def close(self) -> None:
        """See `Engine.close`."""
        self._connection.close()
        self._socket = None

    def _check_metadata(self, spec: InputSpec, outputs: int) -> None:
        expected, image_shape = (spec.height, spec.width, 3), self._metadata.image_shape
        fits = all(size in (-1, side) for size, side in zip(image_shape, expected, strict=True))
        if not fits or self._metadata.outputs != outputs:
            raise EngineError(
                f"{self._name}: takes {list(image_shape)!s:.60} and gives {self._metadata.outputs!s:.20} numbers, but "
                f"must take {list(expected)} and give {outputs}; {kserve.ADVICE}"
            )

    def _call(self, method: str, path: str, body: bytes, headers: Mapping[str, str], max_bytes: int) -> bytes:
        """Sends a request and returns the body of its response, of at most `max_bytes`."""
        seconds = min(self._call_seconds, self._seconds_left())
        deadline = time.monotonic() + seconds
        try:
            with self._request(method, path, body, headers, deadline) as response:
                text = response.read(max_bytes + 1)
                complete = response.isclosed()
        except TimeoutError as error:
            self.close()
            raise EngineTimeoutError(f"{self._name}: no response within {1000 * max(seconds, 0):.0f} ms") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise EngineError(
                f"{self._name}: {first_line(error)}; check that the server runs there and speaks HTTP"
            ) from error
        if not complete:
            self.close()  # otherwise the rest would be read as the next response
        if len(text) > max_bytes:
            raise EngineError(f"{self._name}: the response has more than {max_bytes} bytes; {kserve.ADVICE}")
        if response.status != http.client.OK:
            message = kserve.error_text(response.status, text)
            raise EngineError(f"{self._name}: the server refuses the request: {message}; {kserve.ADVICE}")
        return text

    def _request(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> http.client.HTTPResponse:
        """Sends a request; sends it again on a new connection if the server has closed the old one meanwhile."""
        was_open = self._socket is not None
        try:
            return self._send(method, path, body, headers, deadline)
        except ConnectionError:
            self.close()
            if not was_open:
                raise
            return self._send(method, path, body, headers, deadline)

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> http.client.HTTPResponse:
        if self._socket is None or self._connection.sock is None:  # http.client clears `sock` when the connection ends
            self._socket = self._connection.sock = _connect(self._addresses, deadline)
        self._socket.set_deadline(deadline)
        self._connection.request(method, path, body or None, dict(headers))
        return self._connection.getresponse()


class _Response(http.client.HTTPResponse):
    """A response without chunks of a negative size: of one of -1 bytes, Python would read all that a server sends."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # known to Python, not to its type stubs
        if size < 0:
            raise ValueError(f"a chunk has {size} bytes")  # which http.client turns into an IncompleteRead
        return size


class _DeadlineSocket(socket.socket):
    """A socket with one deadline for all of its waits; the timeout of a plain socket begins again with each wait."""

    deadline = math.inf

    def set_deadline(self, deadline: float) -> None:
        """Sets the deadline, in monotonic seconds."""
        self.deadline = deadline
        self._update_timeout()

    def recv_into(self, *arguments: Any) -> int:
        """See `socket.socket`."""
        self._update_timeout()
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        """See `socket.socket`; its timeout holds for all bytes together."""
        self._update_timeout()
        super().sendall(*arguments)

    def _update_timeout(self) -> None:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        self.settimeout(seconds)


def _connect(addresses: list[Any], deadline: float) -> _DeadlineSocket:
    """Connects to the first of a host's addresses that accepts."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        connection = _DeadlineSocket(family, kind, protocol)
        try:
            connection.set_deadline(deadline)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _parse_address(address: str) -> tuple[str, int]:
    """Returns host and port. Messages do not repeat the address, because other parts of it may be secret.

    Raises:
        UsageError: It is not the address of a server.
    """
    try:
        parts = urlsplit(address)
        port = http.client.HTTP_PORT if parts.port is None else parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    host = parts.hostname or ""
    if parts.scheme != "http" or not host.isprintable() or not host or " " in host or not port or not plain:
        raise UsageError("a server's address is http://HOST:PORT, with nothing before the host or after the port")
    return host, port
