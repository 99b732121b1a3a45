"""Freed memory is reused, and large arrays are stored on disk."""

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
    """Returns the number of page faults of ten arrays of 48 MB, one after the other."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True, timeout=120)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the switch")
def test_freed_memory_is_reused() -> None:
    assert faults("keep") < 0.2 * faults("default")


def test_a_full_disk_is_an_error_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        memory.allocate((2, 4, 4, 3))
