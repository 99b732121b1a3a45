"""The TensorRT libraries: that of Jetson and data centers, and its sibling for RTX cards. One interface, two names.

Objects of a library keep the first logger that a process gives them, so there is one, here.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allweather.runtimes.errors import DependencyError, first_line, printable

CURES = {
    "tensorrt": "on a Jetson it comes with JetPack: sudo apt install python3-libnvinfer, and make the environment with "
    "python3 -m venv --system-site-packages; elsewhere: pip install 'allweather[tensorrt]'",
    "tensorrt_rtx": "pip install 'allweather[rtx]'",
}
OLD = {
    "tensorrt": "10.3 or newer is needed: update to JetPack 6.1 or newer",
    "tensorrt_rtx": "1.7 or newer is needed, as older ones cannot compile INT8: pip install 'allweather[rtx]'",
}
FLOORS = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 7)}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Library:
    """A TensorRT that is here.

    Attributes:
        flavour: "tensorrt" or "tensorrt_rtx".
        trt: the module.
        version: in as many parts as it tells: "10.3.0", "11.4.0.106".
        logger: given to whatever it makes; its `error` is the last error that the library spoke of.
    """

    variant: str
    trt: Any
    version: str
    logger: Any

    @property
    def error(self) -> str:
        """What the library said last, as the end of a message."""
        return self.logger.error or "the library does not say why"


def open_library(variant: str) -> Library:
    """Imports a TensorRT library.

    Args:
        flavour: "tensorrt" or "tensorrt_rtx".

    Raises:
        DependencyError: it is not installed, does not load, or is too old.
    """
    try:
        trt = importlib.import_module(variant)
    except (ImportError, OSError) as error:  # OSError: a library that it needs is not there
        raise DependencyError(f"{variant}: {first_line(error)}; {CURES[variant]}") from error
    version = str(trt.__version__)
    parts = version.split(".")
    if not all(part.isdecimal() for part in parts) or tuple(map(int, parts))[:2] < FLOORS[variant]:
        raise DependencyError(f"{variant}: version {version[:40]} is here; {OLD[variant]}")
    return Library(variant, trt, version, _logger(trt))


def flat(text: str) -> str:
    """What a library says over many lines, as one of readable length."""
    return printable(" ".join(text.split())[:240])


@lru_cache(maxsize=2)
def _logger(trt: Any) -> Any:
    """The process's logger: debug lines for us, and the last error for messages."""

    class Logger(trt.ILogger):  # type: ignore[misc] # the library is known only when it runs
        """What the library says."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # bindings of C++ do not do with super()
            self.error = ""

        def log(self, severity: Any, msg: str) -> None:
            """Called by the library, from any thread; must not raise."""
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.error = flat(msg)
            for line in msg.splitlines():
                log.debug("%s", printable(line))

    return Logger()
