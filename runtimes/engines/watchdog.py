"""A watchdog for engines: an engine that hangs or fails is replaced by a new one, a limited number of times."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from allweather.runtimes.engines.base import Engine, Interruptible, TimeLimited
from allweather.runtimes.errors import EngineError, StalledError
from allweather.runtimes.threads.worker import CLOSE_SECONDS, EndedError, TimedOutError, Worker
from allweather.runtimes.types import Floats, Image

T = TypeVar("T")
logger = logging.getLogger(__name__)

STALL_FACTOR = 20  # a call counts as stalled if it takes this many times as long as at the export
FIRST_CALL_SECONDS = 120.0  # limit of a call with a batch size that no engine has run yet: it may have to compile
CALL_SECONDS = 2.0  # limit of a call with a batch size that this engine has run
REOPENED_CALL_SECONDS = 20.0  # limit with a batch size that only an earlier engine has run: the new one opens first
MAX_RESTARTS = 5  # within RESTART_WINDOW_SECONDS, or in a row without a successful call
RESTART_WINDOW_SECONDS = 60.0


def run_within(seconds: float, call: Callable[[], T], action: str, engine: Engine | None = None) -> T:
    """Returns what a call returns, or gives up after some time.

    The call runs in a thread of its own. One that hangs in a library that cannot end it is left behind.

    Args:
        seconds: Time that the call may take.
        call: What to run.
        action: What it does, for the message: "starting the engine onnx".
        engine: The engine that it uses, which is interrupted if it can be.

    Raises:
        EngineError: It took longer.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:  # noqa: BLE001 -- the thread that waits raises it
            results.put((None, error))

    thread = threading.Thread(target=run, name=action, daemon=True)
    thread.start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        if isinstance(engine, Interruptible):
            engine.interrupt()
            thread.join(CLOSE_SECONDS)
        raise EngineError(f"{action} has not finished within {seconds:.0f} s, and was given up") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # it is None only where T is


class WatchdogEngine:
    """Runs an engine and starts another one when it hangs or fails.

    The call that hangs or fails raises an error; the new engine runs the next one. Calls are made in a thread of their
    own, which is left behind if it hangs in a driver, as it cannot be ended. That takes 30 to 100 microseconds more,
    which engines save that can give up by themselves (`TimeLimited`).

    Args:
        engine: The engine to run, already open.
        reopen: Opens another engine like it.
        name: Name of the engine, for messages.
        call_seconds: Time that a call may take, once this engine has run its batch size.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        reopen: Callable[[], Engine],
        name: str,
        *,
        call_seconds: float = CALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reopen, self._name, self._call_seconds, self._clock = reopen, name, call_seconds, clock
        self._restart_times: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._restarts_without_success = 0
        self._batch_sizes: set[int] = set()  # those that any of the engines has run
        self._closed = False
        self._worker = _EngineWorker(lambda: engine, name)

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`.

        Raises:
            EngineError: The engine failed or hung; a new one runs the next call.
            StalledError: It failed or hung too often.
        """
        if self._closed:
            raise _closed_error(self._name)
        batch_size = len(images)
        try:
            logits = self._worker.infer(images, self._limit(batch_size))
        except EngineError as error:
            if self._closed:  # meanwhile, by another thread
                raise _closed_error(self._name) from error
            self._restart(error)
            raise
        except Exception:
            # it cannot be opened, such as for want of memory; the next call tries again
            if self._worker.has_not_opened and not self._closed:
                self._worker = _EngineWorker(self._reopen, self._name)
            raise
        self._restarts_without_success = 0
        self._batch_sizes.add(batch_size)
        return logits

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        self._worker.close()

    def _limit(self, batch_size: int) -> float:
        """Returns the seconds that a call may take."""
        if batch_size in self._worker.batch_sizes:
            return self._call_seconds
        return REOPENED_CALL_SECONDS if batch_size in self._batch_sizes else FIRST_CALL_SECONDS

    def _restart(self, error: EngineError) -> None:
        now = self._clock()
        too_often = len(self._restart_times) == MAX_RESTARTS and now - self._restart_times[0] < RESTART_WINDOW_SECONDS
        if too_often or self._restarts_without_success == MAX_RESTARTS:
            raise StalledError(
                f"{error}; restarting the engine {MAX_RESTARTS} times did not help: check that the device has memory "
                "left and is not too hot, and start the program again"
            ) from error
        self._restart_times.append(now)
        self._restarts_without_success += 1
        logger.warning("%s; the engine is restarted", error)
        self._worker.stop()
        self._worker = _EngineWorker(self._reopen, self._name)


def _closed_error(name: str) -> EngineError:
    """Returns the error of a call of an engine that was closed."""
    return EngineError(f"the engine {name} has been closed; load it again")


class _EngineWorker:
    """A thread that opens and closes one engine, and runs it as far as it cannot be run in the thread of the caller.

    Args:
        open_engine: Opens the engine.
        name: Name of the engine, for messages.

    Attributes:
        batch_sizes: Batch sizes that the engine has run.
    """

    def __init__(self, open_engine: Callable[[], Engine], name: str) -> None:
        self.batch_sizes: set[int] = set()
        self._open_engine, self._name = open_engine, name
        self._engine: Engine | None = None  # once it is open
        self._infer_within: Callable[[Image, float], Floats] | None = None  # if the engine has it, and is open
        self._direct = threading.RLock()  # held while the caller's thread runs the engine, or this one closes it
        self._worker: Worker[Image, Floats] = Worker(self._opened, f"engine {name}")

    @property
    def has_not_opened(self) -> bool:
        """Whether there is no engine: it is not open yet, or cannot be opened."""
        return self._engine is None

    def infer(self, images: Image, limit: float) -> Floats:
        try:
            # A batch of a new size may have to be compiled first, which only another thread can give up. While that
            # thread is in a call whose caller was interrupted, no other may use the engine.
            if len(images) in self.batch_sizes and not self._worker.may_be_busy:
                with self._direct:
                    if self._infer_within:
                        return self._infer_within(images, limit)
            logits = self._worker.call(images, limit)
        except EndedError:
            raise _closed_error(self._name) from None
        except (TimedOutError, TimeoutError):
            self._worker.stop()
            if isinstance(self._engine, Interruptible):
                self._engine.interrupt()
                self._worker.join()
            raise EngineError(f"the engine {self._name} has not finished a call within {limit:.1f} s") from None
        self.batch_sizes.add(len(images))
        return logits

    def stop(self) -> None:
        """Ends the thread when its call is finished, without waiting for that."""
        self._worker.stop()

    def close(self) -> None:
        """Ends the thread and waits for it, for a limited time."""
        self._worker.close()

    @contextmanager
    def _opened(self) -> Iterator[Callable[[Image], Floats]]:
        engine = self._engine = self._open_engine()
        if isinstance(engine, TimeLimited):
            self._infer_within = engine.infer_within
        try:
            yield engine.infer
        finally:
            with self._direct:
                self._infer_within = None
                engine.close()
