"""Memory: arrays for many images, and keeping freed memory, because each training step needs as much again."""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np

from allweather.runtimes.errors import map_write_errors
from allweather.runtimes.types import Image

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h
MAX_MEMORY_SHARE = 0.4  # of the machine's memory that one array may take; a larger one is stored on disk


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


def allocate(shape: tuple[int, ...]) -> Image:
    """Returns an uninitialized uint8 array. One above 40 % of the machine's memory lies in an unnamed file on disk.

    Args:
        shape: Shape of the array.

    Raises:
        OutputError: There is not enough space on the disk. Without this check, writing to the array would end the
            process.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if math.prod(shape) <= MAX_MEMORY_SHARE * memory:
        return np.empty(shape, np.uint8)
    with map_write_errors(Path(gettempdir())), TemporaryFile() as file:  # the mapping stays valid after it is closed
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        return np.memmap(file, np.uint8, "w+", shape=shape)
