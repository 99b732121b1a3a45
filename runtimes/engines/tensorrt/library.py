"""The two TensorRT libraries, for Jetson and data centers and for RTX cards: one interface under two names.

A library keeps the first logger that a process gives it, so there is one logger for each library, and it is made here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allweather.runtimes.engines.library import import_library
from allweather.runtimes.engines.registry import install_command
from allweather.runtimes.errors import DependencyError
from allweather.runtimes.text import printable

INSTALL_HINTS = {
    "tensorrt": "on a Jetson it comes with JetPack: sudo apt install python3-libnvinfer, and make the environment with "
    f"python3 -m venv --system-site-packages; elsewhere: {install_command('tensorrt')}",
    "tensorrt_rtx": install_command("tensorrt_rtx"),
}
UPDATE_HINTS = {
    "tensorrt": "10.3 or newer is needed: update to JetPack 6.1 or newer",
    "tensorrt_rtx": f"1.7 or newer is needed, as older versions cannot compile INT8: {install_command('tensorrt_rtx')}",
}
MIN_VERSIONS = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 7)}
MAX_MESSAGE_LENGTH = 240  # characters
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Library:
    """A TensorRT library that is installed.

    Attributes:
        variant: "tensorrt" or "tensorrt_rtx".
        trt: The imported module.
        version: Its version, with as many parts as the library reports: "10.3.0", "11.4.0.106".
        logger: The logger that is passed to the library's objects; its `error` is the library's last error message.
    """

    variant: str
    trt: Any
    version: str
    logger: Any

    @property
    def error(self) -> str:
        """The library's last error message, for the end of a message of ours."""
        return self.logger.error or "the library gives no reason"


def open_library(variant: str) -> Library:
    """Imports a TensorRT library.

    Args:
        variant: "tensorrt" or "tensorrt_rtx".

    Raises:
        DependencyError: The library is not installed, does not load, or is too old.
    """
    trt: Any = import_library(variant, variant, INSTALL_HINTS[variant], needed="ILogger")
    version = str(trt.__version__)
    parts = version.split(".")
    if not all(part.isdecimal() for part in parts) or tuple(map(int, parts))[:2] < MIN_VERSIONS[variant]:
        raise DependencyError(f"{variant}: version {version[:40]} is installed; {UPDATE_HINTS[variant]}")
    return Library(variant, trt, version, _logger(trt))


def one_line(text: str) -> str:
    """Returns a message of a library, which may have many lines, as one line of bounded length."""
    return printable(" ".join(text.split())[:MAX_MESSAGE_LENGTH])


@lru_cache(maxsize=2)
def _logger(trt: Any) -> Any:
    """Returns the logger of a library: it logs all lines at level DEBUG, and keeps the last error for our messages."""

    class Logger(trt.ILogger):  # type: ignore[misc] # the library is known only when it runs
        """Takes the messages of TensorRT."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # super() does not work with the bindings' classes
            self.error = ""

        def log(self, severity: Any, msg: str) -> None:
            """Is called by the library, from any thread, and must not raise."""
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.error = one_line(msg)
            for line in msg.splitlines():
                log.debug("%s", printable(line))

    return Logger()
