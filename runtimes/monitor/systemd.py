"""Notifies systemd that the program is ready, alive or stopping, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from allweather.runtimes.monitor.health import check_health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.realtime import as_usual
from allweather.runtimes.text import printable, shortened

MAX_STATUS_CHARACTERS = 1000  # a datagram that is too long would not be sent, nor that the program is alive
NOTIFICATIONS_PER_TIMEOUT = 3  # of the watchdog; systemd recommends two
MAX_INTERVAL_SECONDS = 3600.0  # a thread cannot wait for as long as an environment variable can say


class SystemdNotifier:
    """Notifies systemd in a `with` block: ready at its start, alive while all loops are, and stopping at its end.

    The unit needs `Type=notify`, and `WatchdogSec=` to be restarted when a loop hangs. Without a supervisor that has
    set NOTIFY_SOCKET, the notifier does nothing.

    Args:
        previews: One per camera. The notifier reports that the program is alive only while the loops of all are.
        environment: The environment variables, including those that the supervisor has set.
    """

    def __init__(self, previews: Sequence[LivePreview], environment: Mapping[str, str] = os.environ) -> None:
        self._previews = previews
        self._address = environment.get("NOTIFY_SOCKET", "")
        timeout_us = environment.get("WATCHDOG_USEC", "")
        timeout_seconds = int(timeout_us) / 1e6 if re.fullmatch(r"[0-9]{1,20}", timeout_us) else 0.0
        self._interval = min(timeout_seconds / NOTIFICATIONS_PER_TIMEOUT, MAX_INTERVAL_SECONDS)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> SystemdNotifier:
        """Notifies systemd that the program is ready, and starts to report that it is alive."""
        if self._address:
            self._notify("READY=1")
            if self._interval:
                self._thread = threading.Thread(target=self._report_alive, name="systemd watchdog", daemon=True)
                self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Notifies systemd that the program is stopping."""
        self._stopping.set()
        if self._thread:
            self._thread.join(1)
        if self._address:
            self._notify("STOPPING=1")

    def _report_alive(self) -> None:
        as_usual()
        while not self._stopping.wait(self._interval):
            health = check_health(self._previews)
            if health.alive:
                status = shortened(printable("; ".join(health.problems) or "deciding"), MAX_STATUS_CHARACTERS)
                self._notify(f"WATCHDOG=1\nSTATUS={status}")

    def _notify(self, text: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            suppress(OSError),  # the loops go on even if the supervisor has ended, or no more files can be opened
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket,
        ):
            notify_socket.setblocking(False)
            notify_socket.sendto(text.encode(), address)
