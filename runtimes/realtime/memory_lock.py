"""Locks the memory of the process, so that no page of it has to be read from the disk again within a frame."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from allweather.runtimes.errors import UsageError

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # of mlockall(2): what is there, what will be, each page once it is used


@contextmanager
def memory_locked() -> Iterator[None]:
    """Keeps every page that the process uses in memory while the `with` block lasts.

    Raises:
        UsageError: The system does not permit it, or has no such call.
    """
    library = ctypes.CDLL(None, use_errno=True)
    lock = getattr(library, "mlockall", None)
    if lock is None or lock(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        reason = "there is no such call here" if lock is None else os.strerror(ctypes.get_errno())
        raise UsageError(
            f"cannot lock the memory for real time: {reason}; give LimitMEMLOCK=infinity to the systemd unit, "
            "--ulimit memlock=-1 to the container, or leave real time out"
        )
    try:
        yield
    finally:
        library.munlockall()
