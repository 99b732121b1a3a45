"""FairLock at something that serves one at a time."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """A lock that is given in the order it was asked for, so that of two cameras on one engine none starves.

    The thread that has the turn may take it again inside.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> FairLock:
        """Waits for the turn."""
        me = threading.get_ident()
        with self._guard:
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
        except BaseException:  # Ctrl-C while waiting: the turn is not ours, or it was just given to us
            with self._guard:
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
        """Gives the turn to whoever waits longest."""
        with self._guard:
            self._depth -= 1
            if not self._depth:
                self._pass_on()

    def _pass_on(self) -> None:
        self._holder = None
        if self._waiting:
            self._holder = -1  # taken: whoever was woken writes their name
            self._waiting.popleft().set()
