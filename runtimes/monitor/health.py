"""Whether a program that watches cameras is well: for a supervisor, for a person, for systemd."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from allweather.runtimes.monitor.preview import LivePreview

TURNED_SECONDS = 10.0  # a loop that has neither decided nor woken for so long hangs
DECIDED_SECONDS = 5.0  # one that has not decided for so long serves nobody, though it may be alive


@dataclass(frozen=True)
class Health:
    """How the loops are.

    Attributes:
        alive: every loop turns: it decides, or waits for its camera; if not, a new start may help.
        serving: every camera is decided on.
        troubles: one line for each that is not, without passwords.
    """

    alive: bool
    serving: bool
    troubles: tuple[str, ...]


def health(previews: Sequence[LivePreview]) -> Health:
    """How the loops of some channels are now."""
    alive, serving, troubles = True, True, []
    for preview in previews:
        state, heartbeat, now = preview.camera.state, preview.stats.heartbeat(), preview.stats.clock()
        if state.phase == "ended":
            continue
        silent = now - (heartbeat.turned if heartbeat.decided is None else heartbeat.decided)
        if now - heartbeat.turned > TURNED_SECONDS:
            alive = serving = False
            troubles.append(f"{state.name}: the loop has hung for {now - heartbeat.turned:.0f} s")
        elif state.phase != "live":
            serving = False
            troubles.append(f"{state.name}: {state.trouble or 'not connected yet'}")
        elif silent > DECIDED_SECONDS:
            serving = False
            troubles.append(f"{state.name}: no decision for {silent:.0f} s")
    return Health(alive, serving, tuple(troubles))


class SystemdNotifier:
    """Tells systemd that the program is ready, and as long as it is alive (`Type=notify`, `WatchdogSec=`).

    Does nothing where no supervisor asked for it. A context manager.

    Args:
        channels: whose loops must turn.
        environment: where the supervisor says how it wants to be told.
    """

    def __init__(self, previews: Sequence[LivePreview], environment: Mapping[str, str] = os.environ) -> None:
        self._channels = previews
        self._address = environment.get("NOTIFY_SOCKET", "")
        limit = environment.get("WATCHDOG_USEC", "")
        self._every = int(limit) / 3e6 if limit.isdecimal() and int(limit) else 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> SystemdNotifier:
        """Says that the program is ready."""
        if self._address:
            self._tell("READY=1")
            if self._every:
                self._thread = threading.Thread(target=self._beat, name="supervised", daemon=True)
                self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Says that it ends."""
        self._ended.set()
        if self._thread:
            self._thread.join(1)
        if self._address:
            self._tell("STOPPING=1")

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            now = health(self._channels)
            if now.alive:
                self._tell(f"WATCHDOG=1\nSTATUS={'; '.join(now.troubles) or 'deciding'}")

    def _tell(self, text: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            try:
                line.sendto(text.encode(), address)
            except OSError:  # a supervisor that has gone is not the program's trouble
                return
