"""Freed memory is reused, and large arrays are stored on disk."""

from __future__ import annotations

import errno
import gc
import os
import platform
import subprocess
import sys

import numpy as np
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
@pytest.mark.slow
def test_freed_memory_is_reused() -> None:
    assert faults("keep") < 0.2 * faults("default")


def test_a_full_disk_is_an_error_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        memory.allocate((2, 4, 4, 3))


@pytest.mark.slow
def test_the_sum_of_all_arrays_counts_against_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory._HELD._bytes
    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 1.0)
    monkeypatch.setattr(memory, "usable_memory", lambda: before + 1000)
    splits = [memory.allocate((4, 10, 10)) for _ in range(4)]  # 400 bytes each
    assert [isinstance(each, np.memmap) for each in splits] == [False, False, True, True]
    del splits
    gc.collect()
    assert memory._HELD._bytes == before
    assert not isinstance(memory.allocate((10, 10, 10)), np.memmap)  # what was freed can be had again


def test_the_memory_of_the_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "usable_memory", lambda: 0)
    assert isinstance(memory.allocate((2, 4, 4, 3)), np.memmap)
