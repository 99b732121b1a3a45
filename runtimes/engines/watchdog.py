"""An engine under watch: it answers in time or is started anew, a bounded number of times."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.errors import EngineError, StalledError
from allweather.runtimes.types import Floats, Image

logger = logging.getLogger(__name__)

FIRST_SECONDS = 120.0  # for a batch size that is new to the engine: it may compile
USUAL_SECONDS = 2.0  # for one that it has run
AGAIN_SECONDS = 20.0  # for one that an engine before it has run: it is opened first
RESTARTS_MOST, RESTARTS_WITHIN = 5, 60.0  # more restarts in so many seconds, or without an answer, are in vain
CLOSING_SECONDS = 1.0


class WatchdogEngine:
    """Runs an engine in a thread of its own and starts another one when it hangs or fails.

    The call that met the trouble raises; the next one is answered by the new engine. A thread that hangs in a driver
    cannot be ended, so it is left behind. Costs two changes of thread a call, some 30 microseconds.

    Args:
        engine: running.
        again: starts another one like it.
        name: of it, for messages.
        usual: seconds that a call may take, once its batch size has been run.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        again: Callable[[], Engine],
        name: str,
        *,
        usual: float = USUAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._again, self._name, self._usual, self._clock = again, name, usual, clock
        self._restarts: deque[float] = deque(maxlen=RESTARTS_MOST)
        self._unanswered = 0  # restarts since the last answer
        self._known: set[int] = set()  # batch sizes that any engine has run
        self._closed = False
        self._worker = _Worker(lambda: engine, name)

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`.

        Raises:
            EngineError: it failed or hung; another one is there for the next call.
            StalledError: it did so too often.
        """
        if self._closed:
            raise EngineError(f"the engine {self._name} has been closed; load it again")
        size = len(images)
        limit = self._usual if size in self._worker.known else AGAIN_SECONDS if size in self._known else FIRST_SECONDS
        try:
            answer = self._worker.infer(images, limit)
        except EngineError as error:
            self._restart(error)
            raise
        self._unanswered = 0
        self._known.add(size)
        return answer

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        self._worker.close()

    def _restart(self, error: EngineError) -> None:
        now = self._clock()
        often = len(self._restarts) == RESTARTS_MOST and now - self._restarts[0] < RESTARTS_WITHIN
        if often or self._unanswered == RESTARTS_MOST:
            raise StalledError(
                f"{error}; it was started anew {RESTARTS_MOST} times in vain: see that "
                "the device has memory left and is not too hot, and start the program again"
            ) from error
        self._restarts.append(now)
        self._unanswered += 1
        logger.warning("%s; it is started anew", error)
        self._worker.leave()
        self._worker = _Worker(self._again, self._name)


class _Worker:
    """One thread with one engine, which it also opens and closes.

    Not a ThreadPoolExecutor: Python waits for its threads when the program ends, also for one that hangs.

    Attributes:
        known: batch sizes that it has run.
    """

    def __init__(self, start: Callable[[], Engine], name: str) -> None:
        self.known: set[int] = set()
        self._start, self._name = start, name
        self._asked: queue.SimpleQueue[Image | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Floats | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"engine {name}", daemon=True)
        self._thread.start()

    def infer(self, images: Image, limit: float) -> Floats:
        self._asked.put(images)
        try:
            answer = self._answers.get(timeout=limit)
        except queue.Empty:
            raise EngineError(f"the engine {self._name} has not answered for {limit:.1f} s") from None
        if isinstance(answer, BaseException):
            raise answer
        self.known.add(len(images))
        return answer

    def leave(self) -> None:
        """Ends it as soon as it answers; nobody waits for that."""
        self._asked.put(None)

    def close(self) -> None:
        """Ends it and waits, but not for ever."""
        self.leave()
        self._thread.join(CLOSING_SECONDS)

    def _serve(self) -> None:
        try:
            engine = self._start()
        except Exception as error:  # noqa: BLE001 -- it belongs to whoever asks
            if self._asked.get() is not None:
                self._answers.put(error)
            return
        try:
            while (images := self._asked.get()) is not None:
                try:
                    self._answers.put(engine.infer(images))
                except Exception as error:  # noqa: BLE001 -- it belongs to whoever asked
                    self._answers.put(error)
        finally:
            engine.close()
