"""An engine that runs in the thread of its caller is used and closed by one thread at a time."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from commands import default_interrupt

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.watchdog import WatchdogEngine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.types import Floats, Image

IMAGES = np.zeros((1, 4, 4, 3), np.uint8)


class Exclusive(FakeEngine):
    """Notes whether two threads are in it at once, or use it after it was closed; waits as long as it is told to."""

    def __init__(self) -> None:
        super().__init__(2)
        self.entered, self.release = threading.Event(), threading.Event()
        self.release.set()
        self.faults: list[str] = []
        self._users, self._closed = 0, False

    def infer(self, images: Image) -> Floats:
        self._users += 1
        if self._users > 1 or self._closed:
            self.faults.append("used by two threads" if self._users > 1 else "used after its end")
        self.entered.set()
        self.release.wait(10)
        self._users -= 1
        return super().infer(images)

    def infer_within(self, images: Image, seconds: float) -> Floats:
        return self.infer(images)

    def close(self) -> None:
        if self._users:
            self.faults.append("closed while it is used")
        self._closed = True


def test_after_ctrl_c_in_a_call_of_a_new_batch_size_no_two_threads_use_the_engine() -> None:
    """The next call could get the outputs of other images."""
    inner = Exclusive()
    engine = WatchdogEngine(inner, lambda: inner, "exclusive", call_seconds=5.0)
    engine.infer(IMAGES)
    inner.release.clear()
    threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    with default_interrupt(), pytest.raises(KeyboardInterrupt):
        engine.infer(np.repeat(IMAGES, 3, 0))
    threading.Timer(0.1, inner.release.set).start()
    for _ in range(2):
        np.testing.assert_array_equal(engine.infer(IMAGES), FakeEngine(2).infer(IMAGES))
    engine.close()
    assert inner.faults == []


def test_an_engine_is_not_closed_while_another_thread_is_in_it() -> None:
    """That thread ended in a TypeError of the engine."""
    inner = Exclusive()
    engine = WatchdogEngine(inner, lambda: inner, "exclusive")
    engine.infer(IMAGES)
    inner.release.clear()
    inner.entered.clear()
    results: list[object] = []

    def call() -> None:
        results.append(engine.infer(IMAGES).shape)
        with pytest.raises(EngineError, match="has been closed"):
            engine.infer(IMAGES)
        results.append("told")

    thread = threading.Thread(target=call)
    thread.start()
    assert inner.entered.wait(5)
    threading.Timer(0.1, inner.release.set).start()
    engine.close()
    thread.join(5)
    assert (results, inner.faults) == ([(1, 2), "told"], [])
