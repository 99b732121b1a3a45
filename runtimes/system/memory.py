"""Memory: room for many pictures, and freed memory that is kept, as a training step asks for the same again."""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np

from allweather.runtimes.errors import map_write_errors
from allweather.runtimes.types import Image

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
SHARE = 0.4  # of the machine's memory that one split may take before it lives on disk


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to reuse what was freed instead of handing it back to the kernel; lasts with the process.

    By default every block above 32 MB, and the top of the heap, goes back at once, and the next step waits while the
    kernel zeroes it page by page anew.

    Returns:
        Whether it took effect; other C libraries have no such switch and are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, -1)) and bool(mallopt(M_MMAP_MAX, 0))


def allocate(shape: tuple[int, ...]) -> Image:
    """Uninitialised uint8 of that shape, in memory where it fits, else in an unnamed file on disk.

    Raises:
        OutputError: the disk has no room for it; else a write to the mapping would end the process.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if math.prod(shape) <= SHARE * memory:
        return np.empty(shape, np.uint8)
    with map_write_errors(Path(gettempdir())), TemporaryFile() as file:  # the mapping outlives it
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        return np.memmap(file, np.uint8, "w+", shape=shape)
