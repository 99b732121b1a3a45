"""`Outbox`: a bounded queue between the camera loop, which never waits, and the thread that sends what is in it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from allweather.runtimes.errors import OutputError, first_line
from allweather.runtimes.realtime import as_usual
from allweather.runtimes.sinks.base import already_open, not_open

logger = logging.getLogger(__name__)

MAX_WAITING = 20_000  # items: ten minutes at 30 decisions a second, some 20 MB
STOP_SECONDS = 2.0  # for the thread to notice that it is to stop; one that hangs in a socket is left behind

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Hands items to a function in a thread of its own, in the order in which they came.

    While the function is slower than the items come, they wait. Once too many wait, the oldest is dropped and counted:
    who looks at a camera wants to know what it sees now.

    Args:
        name: Name of the thread, and of the receiver in messages; without passwords.
        send: Takes one or several items, and returns how many of them it has given up. It may wait for as long as it
            needs, but must return soon once `stopping` is set. Items for which it raises an error are given up.
        max_waiting: Number of items that wait at most.
        max_batch: Number of items that `send` gets at once at most.

    Attributes:
        stopping: Set when there is no more time for waiting.
        failure: The last error that `send` raised; empty if it raised none.
    """

    def __init__(
        self, name: str, send: Callable[[Sequence[Item]], int], *, max_waiting: int = MAX_WAITING, max_batch: int = 1
    ) -> None:
        self._name, self._send, self._max_waiting, self._max_batch = name, send, max_waiting, max_batch
        self._changed = threading.Condition()
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Item] = deque()
        self._sending = 0  # items that `send` has at the moment
        self._lost = 0
        self._closing = False
        self._overflowing = False
        self.failure = ""
        self.stopping = threading.Event()
        # A daemon thread, so that a receiver that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    @property
    def lost(self) -> int:
        """Number of items that were dropped or given up so far; for any thread."""
        return self._lost

    @property
    def _is_open(self) -> bool:
        return self._thread.ident is not None and not self._closing

    def start(self) -> None:
        """Starts the thread; after `close`, a new one with nothing to send, as a sink may be opened again.

        Raises:
            OutputError: The thread before is still sending, as its receiver hangs.
            UsageError: It is open.
        """
        if self._is_open:
            raise already_open(self._name)
        if self._closing:
            if self._thread.is_alive():
                raise OutputError(f"{self._name} still takes what was sent before; make a new sink")
            self._begin()
        self._thread.start()

    def put(self, item: Item) -> None:
        """Takes an item, without waiting.

        Raises:
            UsageError: It is not open, and nobody would ever send the item.
        """
        if not self._is_open:
            raise not_open(self._name)
        with self._changed:
            self._waiting.append(item)
            overflows = len(self._waiting) > self._max_waiting
            if overflows:
                self._waiting.popleft()
                self._lost += 1
            begins = overflows and not self._overflowing
            # Once for a receiver that is away, and not again for every item that one gets through.
            self._overflowing = overflows or (self._overflowing and 2 * len(self._waiting) > self._max_waiting)
            self._changed.notify_all()
        if begins:
            logger.warning("%s takes decisions too slowly or not at all; the oldest of them are dropped", self._name)

    def close(self, seconds: float) -> int:
        """Waits until everything is sent, but no longer than some seconds, and ends the thread.

        Args:
            seconds: How long to wait.

        Returns:
            The number of items that were never sent.
        """
        if self._thread.ident is None:  # it was never opened
            return 0
        deadline = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting and not self._sending, max(0.0, seconds))
        self.stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(max(STOP_SECONDS, deadline - time.monotonic()))
        with self._changed:
            self._lost += len(self._waiting) + (self._sending if self._thread.is_alive() else 0)
            self._waiting.clear()
            return self._lost

    def _run(self) -> None:
        as_usual()
        while batch := self._next_batch():
            given_up = self._try_to_send(batch)
            with self._changed:
                self._sending = 0
                self._lost += given_up
                self._changed.notify_all()

    def _try_to_send(self, batch: Sequence[Item]) -> int:
        """Sends some items; returns how many were given up, which are all of them where that is impossible."""
        try:
            return self._send(batch)
        except Exception as error:  # noqa: BLE001 -- else the thread ends, and all that comes later waits for ever
            failure = f"{type(error).__name__}: {first_line(error)}"
            if failure != self.failure:  # told once, however many items follow
                logger.error("%s: some decisions cannot be sent and are lost: %s", self._name, failure)
            self.failure = failure
            return len(batch)

    def _next_batch(self) -> list[Item]:
        """Waits for items and takes them; nothing once the outbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self.stopping.is_set():
                return []
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
            self._sending = len(batch)
            return batch
