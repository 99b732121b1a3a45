"""Real-time priority and cores of the calling thread and of libraries; the threads that they start inherit them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from allweather.runtimes.errors import UsageError

T = TypeVar("T")

PRIORITY = 10  # of SCHED_FIFO, 1..99: above all usual programs, below the kernel's own threads, which have 50


@contextmanager
def first_in_first_out() -> Iterator[None]:
    """Gives the calling thread, those that it starts and those of libraries real-time priority in a `with` block.

    Such a thread runs whenever it can, before every usual one, until it waits (SCHED_FIFO, see sched(7)). Libraries
    keep threads: OpenVINO runs a model in the thread that an earlier one was run in. Without priority, that thread
    would wait on another core for the usual programs there, and the loop for it.

    Raises:
        UsageError: The system does not permit it.
    """
    if not hasattr(os, "sched_setscheduler"):
        raise UsageError("real-time priority needs Linux; leave real time out")
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _each_library_thread(lambda thread: (os.sched_getscheduler(thread), os.sched_getparam(thread)))
    priority = os.SCHED_FIFO, os.sched_param(PRIORITY)
    try:
        os.sched_setscheduler(0, *priority)
    except OSError as error:
        raise UsageError(
            f"cannot have real-time priority: {error.strerror}; give LimitRTPRIO={PRIORITY} or "
            f"CPUSchedulingPolicy=fifo to the systemd unit, --cap-add SYS_NICE or --ulimit rtprio={PRIORITY} to the "
            "container, or leave real time out"
        ) from error
    _each_library_thread(lambda thread: os.sched_setscheduler(thread, *priority))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *usual)
        _each_library_thread(lambda thread: os.sched_setscheduler(thread, *before.get(thread, usual)))


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Keeps the calling thread, those that it starts and those of libraries on some cores in a `with` block.

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
    before = _each_library_thread(os.sched_getaffinity)
    os.sched_setaffinity(0, cores)
    _each_library_thread(lambda thread: os.sched_setaffinity(thread, cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        _each_library_thread(lambda thread: os.sched_setaffinity(thread, before.get(thread, allowed)))


def as_usual() -> None:
    """Gives up the real-time priority that the calling thread may have inherited, as it has no frame to wait for."""
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO:
        with suppress(OSError):  # it may always be given up; if not, the thread does no harm, as it mostly waits
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _each_library_thread(call: Callable[[int], T]) -> dict[int, T]:
    """Calls a function with the id of each thread of this process that is not Python's, and returns the results."""
    results: dict[int, T] = {}
    python = {thread.native_id for thread in threading.enumerate()}
    with suppress(OSError):  # where the system does not list threads, they stay as they are
        for thread in {int(path.name) for path in Path("/proc/self/task").iterdir()} - python:
            with suppress(OSError):  # it has ended by now
                results[thread] = call(thread)
    return results


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))
