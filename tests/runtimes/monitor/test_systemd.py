"""Notifications to systemd."""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path

import pytest
from previews import preview

from allweather.runtimes.monitor.systemd import SystemdNotifier


def test_systemd_is_notified(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(path)
        supervisor.settimeout(5)
        with SystemdNotifier([preview()], {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000"}):
            assert supervisor.recv(999) == b"READY=1"
            assert supervisor.recv(999) == b"WATCHDOG=1\nSTATUS=deciding"
        while (notification := supervisor.recv(999)) != b"STOPPING=1":
            assert notification.startswith(b"WATCHDOG=1")


def test_without_systemd_nothing_is_sent() -> None:
    with SystemdNotifier([preview()], {}) as notifier:
        assert notifier._thread is None


def test_a_supervisor_that_has_gone_does_no_harm(tmp_path: Path) -> None:
    with SystemdNotifier([preview()], {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        pass


@pytest.mark.parametrize("timeout", ["", "abc", "0", "-5", "\u00b2", "\u0663", "9" * 20, "9" * 5000])
@pytest.mark.parametrize("address", ["relative", "@", "a" * 300])
def test_what_no_supervisor_would_say_does_no_harm(timeout: str, address: str) -> None:
    with SystemdNotifier([preview()], {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": timeout}) as notifier:
        time.sleep(0.01)  # an error in the thread would fail the test
        assert notifier._thread is None or notifier._thread.is_alive()


def test_a_shortage_of_descriptors_does_no_harm(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with SystemdNotifier([preview()], {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "3000"}) as notifier:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            time.sleep(0.01)  # an error in the thread would fail the test
            notifier._notify("READY=1")
            assert notifier._thread is not None
            assert notifier._thread.is_alive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
