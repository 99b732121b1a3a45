"""An engine that runs elsewhere: on a Triton Inference Server or an OpenVINO Model Server, over HTTP."""

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

LONGEST = 10.0  # seconds of a call for which no frame waits: a server may compile a batch size that is new to it


class RemoteEngine:
    """Runs a network on a server, through one connection that is kept open.

    The whole of a call ends in time, from the connection to the last byte, however slowly bytes drip in. A call that
    fails leaves nothing behind: the next one connects anew. Connections are not encrypted.

    Args:
        address: http://HOST[:PORT]; HOST is looked up once, here.
        model: its name on the server.
        spec: pictures that it must take.
        outputs: numbers that it must answer with for each.
        seconds: a call may take at most.
        left: tells how many seconds it may take just now.

    Raises:
        UsageError: the address is none.
        EngineError: there is no server, or it has no such model.
        EngineTimeoutError: the server does not say so in time.
    """

    def __init__(
        self,
        address: str,
        model: str,
        spec: InputSpec,
        outputs: int,
        *,
        seconds: float = LONGEST,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._host, self._port = _parts(address)
        self._where = f"{self._host}:{self._port} {model}"
        self._path, self._seconds, self._left = kserve.path_of(model), seconds, left
        self._connection = http.client.HTTPConnection(self._host, self._port)
        self._socket: _DueSocket | None = None
        try:
            self._places = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise EngineError(f"{self._where}: {first_line(error)}; check the name of the host") from error
        try:
            self._signature = kserve.read_signature(self._ask("GET", self._path, b"", {}, kserve.HEAD), self._where)
            self._check_signature(spec, outputs)
        except EngineError:
            self.close()
            raise

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`.

        Raises:
            EngineError: the server refuses, answers something else, or is gone.
            EngineTimeoutError: it has not answered in time.
        """
        headers, body = kserve.question(self._signature, images)
        most = kserve.largest_answer(len(images), self._signature.outputs)
        text = self._ask("POST", f"{self._path}/infer", body, headers, most)
        return kserve.read_answer(text, self._signature, len(images), self._where)

    def close(self) -> None:
        """See `Engine.close`."""
        self._connection.close()
        self._socket = None

    def _check_signature(self, spec: InputSpec, outputs: int) -> None:
        wanted = (spec.height, spec.width, 3)
        fits = all(size in (-1, side) for size, side in zip(self._signature.picture, wanted, strict=True))
        if not fits or self._signature.outputs != outputs:
            came = f"{list(self._signature.picture)} and gives {self._signature.outputs} numbers"
            raise EngineError(
                f"{self._where}: takes {came}, where {list(wanted)} and {outputs} are wanted; {kserve.ADVICE}"
            )

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], most: int) -> bytes:
        """One request and its answer, of at most so many bytes."""
        allowed = min(self._seconds, self._left())
        due = time.monotonic() + allowed
        try:
            with self._request(method, path, body, headers, due) as response:
                text = response.read(most + 1)
                whole = response.isclosed()
        except TimeoutError as error:
            self.close()
            raise EngineTimeoutError(f"{self._where}: no answer within {1000 * max(allowed, 0):.0f} ms") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise EngineError(
                f"{self._where}: {first_line(error)}; see that the server runs there and speaks HTTP"
            ) from error
        if not whole:
            self.close()  # the rest of it would be taken for the next answer
        if len(text) > most:
            raise EngineError(f"{self._where}: answers with more than {most} bytes; {kserve.ADVICE}")
        if response.status != http.client.OK:
            raise EngineError(f"{self._where}: refused: {kserve.refusal(response.status, text)}; {kserve.ADVICE}")
        return text

    def _request(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], due: float
    ) -> http.client.HTTPResponse:
        """Sends it; again on a new connection where the kept one turns out to have been closed by the server."""
        kept = self._socket is not None
        try:
            return self._send(method, path, body, headers, due)
        except ConnectionError:
            self.close()
            if not kept:
                raise
            return self._send(method, path, body, headers, due)

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], due: float
    ) -> http.client.HTTPResponse:
        if self._socket is None or self._connection.sock is None:  # that of `_connection`, which drops it at an end
            self._socket = self._connection.sock = _connect(self._places, due)
        self._socket.hurry(due)
        self._connection.request(method, path, body or None, dict(headers))
        return self._connection.getresponse()


class _DueSocket(socket.socket):
    """A socket all of whose waits together end at one moment: the usual timeout begins anew with each byte."""

    due = math.inf

    def hurry(self, due: float) -> None:
        """Sets the moment, in monotonic seconds."""
        self.due = due
        self._wait_no_longer()

    def recv_into(self, *arguments: Any) -> int:
        """See `socket.socket`."""
        self._wait_no_longer()
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        """See `socket.socket`; its timeout is one for all bytes."""
        self._wait_no_longer()
        super().sendall(*arguments)

    def _wait_no_longer(self) -> None:
        left = self.due - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


def _connect(places: list[Any], due: float) -> _DueSocket:
    """A connection to the first place that takes one."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, place in places:
        found = _DueSocket(family, kind, protocol)
        try:
            found.hurry(due)
            found.connect(place)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            found.close()
            failure = error
        else:
            return found
    raise failure


def _parts(address: str) -> tuple[str, int]:
    """Host and port; what else is in the address may be a secret and is not repeated.

    Raises:
        UsageError: it is no address of a server.
    """
    try:
        split = urlsplit(address)
        port = http.client.HTTP_PORT if split.port is None else split.port
    except ValueError:
        split, port = urlsplit(""), 0
    bare = split.path in ("", "/") and not (split.query or split.fragment or "@" in split.netloc)
    host = split.hostname or ""
    if split.scheme != "http" or not host.isprintable() or not host or " " in host or not port or not bare:
        raise UsageError("a server's address is http://HOST:PORT, with nothing before the host or after the port")
    return host, port
