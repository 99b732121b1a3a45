"""Real-time priority, cores and locked memory, where the system permits them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.realtime import as_usual, realtime


def permitted() -> bool:
    """Returns whether this process may have real-time priority and lock its memory."""
    try:
        with realtime():
            return True
    except UsageError:
        return False


needs_permission = pytest.mark.skipif(not permitted(), reason="this user may not have real-time priority: not tested")


def state() -> tuple[int, int, set[int]]:
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.sched_getaffinity(0)


def locked_kilobytes() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmLck"))
    return int(line.split()[1])


@needs_permission
def test_the_thread_and_those_that_it_starts_have_priority_and_cores_until_the_end() -> None:
    before = state()
    core = min(os.sched_getaffinity(0))
    seen = []
    with realtime(cores=[core]):
        seen.append(state())
        thread = threading.Thread(target=lambda: (seen.append(state()), as_usual(), seen.append(state())))
        thread.start()
        thread.join()
        assert locked_kilobytes() > 0
    assert seen[0] == seen[1] == (os.SCHED_FIFO, 10, {core})
    assert seen[2][:2] == (os.SCHED_OTHER, 0)
    assert state() == before
    assert locked_kilobytes() == 0


@needs_permission
def test_threads_that_a_library_started_before_have_priority_and_cores_until_the_end() -> None:
    code = (
        "import os, threading\n"
        "import numpy, cv2\n"
        "cv2.setNumThreads(2)\n"  # OpenCV keeps a thread from now on
        "cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (9, 9), 3)\n"
        "from allweather.runtimes.realtime import realtime\n"
        "python = {thread.native_id for thread in threading.enumerate()}\n"
        "threads = {int(name) for name in os.listdir('/proc/self/task')} - python\n"
        "states = lambda: {(os.sched_getscheduler(each), *os.sched_getaffinity(each)) for each in threads}\n"
        "before, core = states(), min(os.sched_getaffinity(0))\n"
        "assert threads\n"
        "with realtime(cores=[core]): assert states() == {(os.SCHED_FIFO, core)}, states()\n"
        "assert states() == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_cores_that_the_process_may_not_use_are_refused() -> None:
    before = state()
    for cores in ([10**6], [-1], []):
        with pytest.raises(UsageError, match="the cores for real time are among those of"), realtime(cores):
            pass
    assert state() == before


def test_without_permission_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = state()
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(UsageError, match="cannot have real-time priority: Operation not permitted; give LimitRTPRIO"):
        realtime(cores=[min(os.sched_getaffinity(0))]).__enter__()
    assert state() == before


@needs_permission
def test_memory_that_may_not_be_locked_is_told() -> None:
    code = (
        "import os, resource\n"
        "from allweather.runtimes.realtime import realtime\n"
        "from allweather.runtimes.errors import UsageError\n"
        "import allweather.runtimes.realtime.scheduling as scheduling\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16))\n"
        "if os.getuid() == 0:\n"
        "    import ctypes; libc = ctypes.CDLL(None); libc.prctl(24, 14)\n"  # drops CAP_IPC_LOCK from the bounding set
        "    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "scheduling.os.sched_setscheduler = lambda *arguments: None\n"
        "try:\n"
        "    with realtime(): print('locked')\n"
        "except UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "cannot lock the memory for real time: " in done.stdout, done.stderr
    assert "LimitMEMLOCK=infinity" in done.stdout
