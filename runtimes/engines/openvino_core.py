"""The one `openvino.Core` of a process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from allweather.runtimes.system.isolated_imports import isolated_imports

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
        RuntimeError: OpenVINO cannot load its plugins.
    """
    with isolated_imports():
        import openvino
    with _lock:
        if not _cores:
            _cores.append(openvino.Core())
        return _cores[0]
