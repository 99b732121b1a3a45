"""Memory: arrays for many images, and keeping freed memory, because each training step needs as much again."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from tempfile import TemporaryFile

import numpy as np

from allweather.runtimes.errors import map_write_errors
from allweather.runtimes.system.leftovers import temporary_root
from allweather.runtimes.system.limits import processes_here, usable_memory
from allweather.runtimes.types import Image

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h
MAX_MEMORY_SHARE = 0.4  # of the memory that this process may use, for all arrays together; what is more lies on disk


class _Held:
    """Counts the bytes of the arrays of `allocate` that are in memory and in use."""

    def __init__(self) -> None:
        self._bytes, self._lock = 0, threading.RLock()  # the collector may free an array in the middle of `take`

    def take(self, size: int, limit: float) -> bool:
        """Counts an array, unless all together would then be above the limit; returns whether it was counted."""
        with self._lock:
            fits = self._bytes + size <= limit
            self._bytes += size if fits else 0
        return fits

    def release(self, size: int) -> None:
        """Counts an array no more."""
        with self._lock:
            self._bytes -= size


_HELD = _Held()


def keep_freed_memory() -> bool:
    """Makes glibc's malloc reuse freed memory instead of returning it to the kernel, for the rest of the process.

    By default every block above 32 MB, and the top of the heap, is returned at once, and the next step waits while the
    kernel clears it again page by page. In torch on a CPU that matters a lot: a MobileNetV2 at 32 px evaluates three
    times as many images a second with this.

    It changes the whole process, so a program calls it and a library does not: each command that trains or evaluates
    calls it before it starts. A program of your own that trains or evaluates on a CPU may do the same; nothing else is
    changed, and the results are the same without it.

    Returns:
        Whether it took effect. Other C libraries have no such switch and are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, -1)) and bool(mallopt(M_MMAP_MAX, 0))


def release_freed_memory() -> None:
    """Returns the memory that was freed to the system, where the C library is glibc.

    A process that is forked keeps the pages of this one as they were, and so would keep twice what is written later.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def fits(size: int) -> bool:
    """Returns whether arrays of so many bytes in all may be in memory; see `allocate`."""
    return size <= _limit()


def allocate(shape: tuple[int, ...]) -> Image:
    """Returns an uninitialized uint8 array: in memory, or in an unnamed file on disk where memory is scarce.

    All arrays in use, such as the splits of a data set, may together take 40 % of the memory that this process may use,
    or of its share, if several processes of a run are on this machine.

    Args:
        shape: Shape of the array.

    Raises:
        OutputError: There is not enough space on the disk. Without this check, writing to the array would end the
            process.
    """
    size = math.prod(shape)
    if _HELD.take(size, _limit()):
        array = np.empty(shape, np.uint8)
        weakref.finalize(array, _HELD.release, size)
        return array
    with map_write_errors(temporary_root()), TemporaryFile() as file:  # the mapping stays valid after it is closed
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _limit() -> float:
    """Returns how many bytes the arrays of this process may take together."""
    return MAX_MEMORY_SHARE * usable_memory() / processes_here()
