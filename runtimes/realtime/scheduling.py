"""Real-time priority and cores of the calling thread, which the threads that it starts inherit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from allweather.runtimes.errors import UsageError

PRIORITY = 10  # of SCHED_FIFO, 1..99: above all usual programs, below the kernel's own threads, which have 50


@contextmanager
def first_in_first_out() -> Iterator[None]:
    """Gives the calling thread, and those that it starts, real-time priority while the `with` block lasts.

    Such a thread runs whenever it can, before every usual one, until it waits (SCHED_FIFO, see sched(7)).

    Raises:
        UsageError: The system does not permit it.
    """
    if not hasattr(os, "sched_setscheduler"):
        raise UsageError("real-time priority needs Linux; leave real time out")
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        raise UsageError(
            f"cannot have real-time priority: {error.strerror}; give LimitRTPRIO={PRIORITY} or "
            f"CPUSchedulingPolicy=fifo to the systemd unit, --cap-add SYS_NICE or --ulimit rtprio={PRIORITY} to the "
            "container, or leave real time out"
        ) from error
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Keeps the calling thread, and those that it starts, on some cores while the `with` block lasts.

    Raises:
        UsageError: The process may not use one of them.
    """
    allowed = os.sched_getaffinity(0)
    others = sorted(set(cores) - allowed)
    if others or not cores:
        raise UsageError(
            f"the cores for real time are among those of this process, {_listed(sorted(allowed))}; got "
            f"{_listed(others) or 'none'}"
        )
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def as_usual() -> None:
    """Gives up the real-time priority that the calling thread may have inherited, as it has no frame to wait for."""
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO:
        with suppress(OSError):  # it may always be given up; if not, the thread does no harm, as it mostly waits
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))
