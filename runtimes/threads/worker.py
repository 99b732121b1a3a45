"""`Worker`: a thread that makes calls one after the other, each within a time limit."""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")

CLOSE_SECONDS = 1.0  # limit of the time that `close` waits for the thread
EXIT_SECONDS = 5.0  # the same at the end of the program, for a call that nobody waits for any more


class TimedOutError(Exception):
    """A call of a worker took too long."""


class EndedError(Exception):
    """The thread of a worker has ended, and makes no more calls."""


@dataclass(frozen=True, eq=False)
class _Call(Generic[Request]):
    """A request in the queue of the thread; the end of the thread is None."""

    request: Request


@dataclass(frozen=True)
class _Outcome(Generic[Request, Result]):
    """How a call ended; the call is None for all that come after the end of the thread."""

    call: _Call[Request] | None
    result: Result | None = None
    error: BaseException | None = None


class Worker(Generic[Request, Result]):
    """Makes calls in a thread of its own, so that one that hangs can be left behind.

    It is not a ThreadPoolExecutor: at the end of the program Python waits for the threads of one, even if they hang.
    Here it waits some seconds, as a library in C++ aborts the process if its call returns after the end of Python. A
    call switches threads twice, which takes 30 to 100 microseconds.

    Args:
        start: Called first in the thread; returns a context manager whose value is the function that makes the calls.
            It is left when the thread ends. An error of it is raised by all calls.
        name: Name of the thread.

    Attributes:
        may_be_busy: Whether the thread may still be in a call, as Ctrl-C interrupted the wait for it.
    """

    def __init__(self, start: Callable[[], AbstractContextManager[Callable[[Request], Result]]], name: str) -> None:
        self._start = start
        self._requests: queue.SimpleQueue[_Call[Request] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[_Outcome[Request, Result]] = queue.SimpleQueue()
        self.may_be_busy = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        atexit.register(self._end)
        self._thread.start()

    def call(self, request: Request, seconds: float) -> Result:
        """Returns what the function returns for a request.

        Args:
            request: What it is called with.
            seconds: Time that the call may take.

        Raises:
            TimedOutError: It took longer. The thread ends when the call does, and the worker must not be used again.
            EndedError: The worker was stopped before.
            BaseException: Whatever the function raised.
        """
        call, end = _Call(request), time.monotonic() + seconds
        self.may_be_busy = True
        self._requests.put(call)
        try:
            outcome = self._outcomes.get(timeout=seconds)
            while outcome.call not in (None, call):  # that of an earlier call, which Ctrl-C interrupted
                outcome = self._outcomes.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            self.stop()
            atexit.unregister(self._end)  # it hangs
            raise TimedOutError from None
        self.may_be_busy = False
        if outcome.call is None:
            self._outcomes.put(outcome)  # for later calls, too
        if outcome.error is not None:
            raise outcome.error
        return outcome.result  # type: ignore[return-value] # it is None only where Result is

    def stop(self) -> None:
        """Ends the thread when its call is finished, without waiting for that."""
        self._requests.put(None)

    def join(self) -> None:
        """Waits until the thread has ended, for a limited time."""
        self._thread.join(CLOSE_SECONDS)

    def close(self) -> None:
        """Ends the thread and waits for it, for a limited time."""
        self.stop()
        self.join()

    def _end(self) -> None:
        """Ends the thread at the end of the program."""
        self.stop()
        self._thread.join(EXIT_SECONDS)

    def _serve(self) -> None:
        with ExitStack() as stack:
            stack.callback(atexit.unregister, self._end)
            try:
                function = stack.enter_context(self._start())
            except BaseException as error:  # noqa: BLE001 -- the threads that make calls raise it
                self._outcomes.put(_Outcome(None, error=error))
                return
            stack.callback(self._outcomes.put, _Outcome(None, error=EndedError()))
            while (call := self._requests.get()) is not None:
                try:
                    self._outcomes.put(_Outcome(call, function(call.request)))
                except BaseException as error:  # noqa: BLE001 -- the thread that made the call raises it, also SystemExit
                    self._outcomes.put(_Outcome(call, error=error))
