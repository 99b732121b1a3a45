"""Keeps freed memory in the process: a training step frees and asks for the same hundreds of megabytes again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


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
