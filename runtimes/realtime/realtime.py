"""`realtime`: memory, priority and cores for the loops of cameras, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from allweather.runtimes.realtime.memory_lock import memory_locked
from allweather.runtimes.realtime.scheduling import first_in_first_out, on_cores


@contextmanager
def realtime(cores: Sequence[int] | None = None) -> Iterator[None]:
    """Runs what is in the `with` block before other programs on the machine, as far as the system permits it.

    The memory of the process is locked, and the calling thread, with every thread that it starts in the block and
    those of libraries, gets real-time priority (SCHED_FIFO) and stays on the given cores. Load the perceiver and watch
    the source inside of it::

        with allweather.realtime(cores=[2, 3]):
            with allweather.load("my.aw", budget_ms=33) as perceiver:
                for decision in allweather.watch(0, perceiver): ...

    A program that computes without waiting would keep every usual program from its cores; the kernel leaves them a
    twentieth of the time. Keep a core for them.

    Args:
        cores: Numbers of the cores, as in `taskset`; None for all that the process may use.

    Raises:
        UsageError: The system does not permit it; nothing has changed then.
    """
    with ExitStack() as stack:
        if cores is not None:
            stack.enter_context(on_cores(cores))
        stack.enter_context(first_in_first_out())
        stack.enter_context(memory_locked())
        yield
