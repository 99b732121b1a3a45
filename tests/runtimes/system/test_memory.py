"""Freed memory is reused."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys

import pytest

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system import memory

FAULTS = """
import resource, sys
import numpy as np
from allweather.runtimes.system.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(48 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(48 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    """Pages that the kernel had to bring for ten arrays of 48 MB, one after the other."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True, timeout=120)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the switch")
def test_what_was_freed_is_reused() -> None:
    assert faults("keep") < 0.2 * faults("default")


def test_a_disk_without_room_is_said_before_it_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        memory.allocate((2, 4, 4, 3))
