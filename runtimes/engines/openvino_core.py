"""The one `openvino.Core` of a process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from allweather.runtimes.errors import DependencyError
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.shortage import with_cure
from allweather.runtimes.text import printable

if TYPE_CHECKING:
    import openvino

_cores: list[openvino.Core] = []
_lock = threading.Lock()


def openvino_core() -> openvino.Core:
    """Returns OpenVINO's `Core`, which all of this process share and which lives as long as the process.

    OpenVINO's plugin for CPUs gives the thread that loads it another stack for signal handlers, and takes that memory
    away when its `Core` is gone. If that happens in another thread, or in another order than several were made, the
    thread keeps the address, and the next signal ends the process with a segmentation fault: for Python's handlers run
    on that stack. One `Core` that stays avoids it.

    Raises:
        DependencyError: OpenVINO is incomplete, so that it cannot find its plugins, or memory has run out.
    """
    with isolated_imports():
        import openvino
    with _lock:
        if not _cores:
            try:
                _cores.append(openvino.Core())
            except Exception as error:  # what is half installed may raise anything
                again = "install it again: pip install --force-reinstall openvino"
                raise DependencyError(
                    f"openvino cannot be started ({with_cure(error, again, last_line(error))})"
                ) from error
        return _cores[0]


def last_line(error: Exception) -> str:
    """Returns the last line of an error of OpenVINO, whose messages have many lines; it names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable((lines[-1] if lines else type(error).__name__)[:200])
