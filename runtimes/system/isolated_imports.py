"""Importing other libraries so that they send nothing, start no process and write nothing but a cache of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType

from allweather.runtimes.errors import EngineError
from allweather.runtimes.system.private_folder import cache_folder, can_be_made

# ONNX Runtime from 1.29 on decides by this at its import, once for the process; else it stores a device id in the
# user's cache and uploads events from native threads that Python does not see.
# MLflow decides likewise at its import; from 3.2 on it would send events from a thread. It also prints hints.
# The libraries of Hugging Face decide likewise. Data never comes from their hub; weights do where a user asks for them,
# so the hub is not shut off for timm.
NO_TELEMETRY = {
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
}

# OpenVINO, at its import, and NNCF report by this library, in a forked process, with a client id kept in ~/intel. Both
# have a stub that they use where it is not installed.
TELEMETRY_LIBRARY = "openvino_telemetry"

# Folders that libraries would otherwise create at their import: matplotlib ~/.config/matplotlib, torch one in /tmp.
CACHES = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torchinductor"}


class _Isolation:
    """What is changed while any thread is in a `with isolated_imports()` block, and what was there before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._depth = 0
        self._environment: dict[str, str | None] = {}
        self._module: ModuleType | None = None

    def enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                wanted = {**_cache_variables(), **NO_TELEMETRY}
                self._environment = {name: os.environ.get(name) for name in wanted}
                os.environ.update(wanted)
                self._module = sys.modules.get(TELEMETRY_LIBRARY)
                sys.modules[TELEMETRY_LIBRARY] = None  # type: ignore[assignment] # makes its import an ImportError

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for name, value in self._environment.items():
                    os.environ.pop(name, None)
                    if value is not None:
                        os.environ[name] = value
                del sys.modules[TELEMETRY_LIBRARY]
                if self._module is not None:
                    sys.modules[TELEMETRY_LIBRARY] = self._module


def _cache_variables() -> dict[str, str]:
    """Returns the variables that put the libraries' caches beside ours; those that the user has set stay.

    Where there is no home directory, or it cannot be written, as in some containers, there are none: each library then
    finds a folder of its own, and would end with an error for one that it is given and cannot create.
    """
    try:
        folders = {name: cache_folder(folder) for name, folder in CACHES.items() if name not in os.environ}
    except EngineError:
        return {}
    return {name: str(folder) for name, folder in folders.items() if can_be_made(folder)}


_isolation = _Isolation()


@contextmanager
def isolated_imports() -> Iterator[None]:
    """Turns off what libraries report when they are imported in the `with` block, and what they write outside a cache.

    Everything is restored afterwards. Blocks may be nested, and several threads may be in one at a time. A library that
    the calling program has imported before is left as it is.
    """
    _isolation.enter()
    try:
        yield
    finally:
        _isolation.leave()
