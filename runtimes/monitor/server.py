"""`MonitorServer`: a web page, Prometheus metrics and a health check of running loops over HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from types import TracebackType

from allweather.runtimes.errors import OutputError
from allweather.runtimes.monitor.connection_loop import ConnectionLoop
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.routes import Routes, check_token

MAX_WAITING_CONNECTIONS = 128  # that the system keeps until they are accepted
MAX_STOP_SECONDS = 5.0  # for the response that is being made
ALL_ADDRESSES = ("0.0.0.0", "::", "")  # noqa: S104 - a server can listen on these; a URL cannot hold them


class MonitorServer:
    """Serves the state of running loops in a `with` block.

    `/` is the page, and `/update` what it shows; `/frames/N.jpg` is the newest image of camera N, `/frames/N` the same
    as motion JPEG, `/events` the state of all cameras as server-sent events, `/metrics` is for Prometheus, and
    `/healthz` responds with 200 while frames of every camera are being decided on, else with 503 and the problems. One
    thread serves all viewers, and one that does not read is disconnected: the loops never wait for viewers.

    Args:
        previews: One per camera.
        address: Host and port to listen on; port 0 for any free port.
        token: Required for everything but `/healthz`, as `?token=` or `Authorization: Bearer`. It may be empty only if
            the host is a loopback address.

    Attributes:
        url: Address of the page.

    Raises:
        UsageError: The host can be reached from other machines and there is no token, or no request can hold the token.
        OutputError: The address cannot be listened on.
    """

    def __init__(self, previews: Sequence[LivePreview], address: tuple[str, int], token: str = "") -> None:
        host, port = address
        check_token(host, token)
        try:
            listener = _listen(host, port)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot serve a page on {host}:{port}: {reason}; choose another port") from error
        url_host = socket.gethostname() if host in ALL_ADDRESSES else f"[{host}]" if ":" in host else host
        self.url = f"http://{url_host}:{listener.getsockname()[1]}/"
        self._loop = ConnectionLoop(listener, Routes(previews, token, local_only=not token))
        self._thread = threading.Thread(target=self._loop.run, name="monitor server", daemon=True)

    def __enter__(self) -> MonitorServer:
        """Starts the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server, and disconnects all viewers."""
        self._loop.stop()
        self._thread.join(MAX_STOP_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MAX_WAITING_CONNECTIONS)
    except (OSError, OverflowError, TypeError, ValueError):
        listener.close()
        raise
    return listener
