"""A lock that threads get in the order in which they began to wait for it."""

from __future__ import annotations

import os
import threading
from collections import deque
from types import TracebackType

from allweather.runtimes.errors import UsageError

RESERVED = -1  # not a thread's identifier: the lock is given to a thread that has been woken and has not run yet


class FairLock:
    """A re-entrant lock that the longest-waiting thread gets next, so that no camera on a shared engine starves.

    Use it in a `with` block. The thread that holds it may enter it again.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._state = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> FairLock:
        """Waits for the lock.

        Raises:
            UsageError: This process is a fork of the one that made the lock. A thread that does not exist here may hold
                it, and the wait would never end.
        """
        if os.getpid() != self._process:
            raise UsageError(
                "a perceiver cannot be used in a fork of the process that loaded it, as its threads are not there; "
                "call allweather.load in each process"
            )
        me = threading.get_ident()
        with self._state:
            if self._holder == me:
                self._depth += 1
                return self
            if self._holder is None:
                self._holder, self._depth = me, 1
                return self
            mine = threading.Event()
            self._waiting.append(mine)
        try:
            mine.wait()
        except BaseException:  # Ctrl-C while waiting: this thread does not hold the lock yet, or was just given it
            with self._state:
                if mine.is_set():
                    self._pass_on()
                else:
                    self._waiting.remove(mine)
            raise
        self._holder, self._depth = me, 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the lock to the thread that has waited longest."""
        with self._state:
            self._depth -= 1
            if not self._depth:
                self._pass_on()

    def _pass_on(self) -> None:
        self._holder = None
        if self._waiting:
            self._holder = RESERVED  # until the woken thread writes its own identifier
            self._waiting.popleft().set()
