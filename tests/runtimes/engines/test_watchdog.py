"""Engines that hang or fail: the next call succeeds, and after too many restarts the watchdog gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from endless_network import endless_network

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines import watchdog
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.watchdog import WatchdogEngine, run_within
from allweather.runtimes.errors import BundleError, EngineError, EngineTimeoutError, StalledError
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.newest_frame import MAX_CONSECUTIVE_FAILURES
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image

IMAGES = np.zeros((1, 4, 4, 3), np.uint8)


class FaultyEngine(FakeEngine):
    """Hangs or throws at some of its calls."""

    def __init__(self, hangs: set[int], throws: set[int], calls: Iterator[int], release: threading.Event) -> None:
        super().__init__(2)
        self._hangs, self._throws, self._calls, self._release = hangs, throws, calls, release
        self.closed = 0

    def infer(self, images: Image) -> Floats:
        call = next(self._calls)
        if call in self._hangs:
            self._release.wait(20)
        if call in self._throws:
            raise EngineError("the device is lost")
        return super().infer(images)

    def close(self) -> None:
        self.closed += 1


class Setup:
    """A watchdog around a faulty engine, with all engines that it started."""

    def __init__(self, hangs: set[int] | None = None, throws: set[int] | None = None) -> None:
        self.started: list[FaultyEngine] = []
        self.release, self._calls = threading.Event(), iter(range(10**6))
        self._faults = hangs or set(), throws or set()
        self.engine = WatchdogEngine(self.start(), self.start, "fake", call_seconds=0.1)

    def start(self) -> FaultyEngine:
        self.started.append(FaultyEngine(*self._faults, self._calls, self.release))
        return self.started[-1]

    def end(self) -> None:
        self.release.set()
        self.engine.close()
        deadline = time.monotonic() + 5
        while not all(each.closed for each in self.started) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [each.closed for each in self.started] == [1] * len(self.started)


def test_an_engine_gives_the_same_outputs_with_a_watchdog() -> None:
    setup = Setup()
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(setup.engine.infer(images), FakeEngine(2).infer(images))
    setup.end()
    with pytest.raises(EngineError, match="has been closed"):
        setup.engine.infer(images)
    assert len(setup.started) == 1  # the error does not start another one


@pytest.mark.parametrize("fault", ["hangs", "throws"])
def test_after_a_fault_another_engine_runs_the_next_call(fault: str) -> None:
    setup = Setup(**{fault: {3, 7}})
    succeeded = 0
    for _ in range(10):
        with suppress(EngineError):
            succeeded += len(setup.engine.infer(IMAGES))
    assert succeeded == 8
    assert len(setup.started) == 3
    setup.end()


def test_an_engine_that_gives_up_by_itself_is_called_in_the_callers_thread_once_a_batch_has_run() -> None:
    threads: list[int] = []

    class Impatient(FakeEngine):
        hangs = False

        def infer(self, images: Image) -> Floats:
            threads.append(threading.get_ident())
            return super().infer(images)

        def infer_within(self, images: Image, seconds: float) -> Floats:
            if self.hangs:
                raise TimeoutError
            return self.infer(images)

    engine = WatchdogEngine(Impatient(2), lambda: Impatient(2), "impatient", call_seconds=0.5)
    for count in (1, 1, 2, 2, 1):
        np.testing.assert_array_equal(
            engine.infer(np.repeat(IMAGES, count, 0)), [FakeEngine(2).infer(IMAGES)[0]] * count
        )
    mine = threading.get_ident()
    assert [thread == mine for thread in threads] == [False, True, False, True, True]
    Impatient.hangs = True
    with pytest.raises(EngineError, match=r"the engine impatient has not finished a call within 0\.5 s"):
        engine.infer(IMAGES)
    Impatient.hangs = False
    assert engine.infer(IMAGES).shape == (1, 2)  # another engine has taken its place
    assert threads[-1] != mine
    engine.close()


def test_an_engine_that_was_closed_during_a_call_is_not_started_again() -> None:
    setup = Setup(hangs={0}, throws={0})
    threading.Timer(0.1, setup.engine.close).start()
    threading.Timer(0.2, setup.release.set).start()
    with pytest.raises(EngineError, match="the engine fake has been closed"):
        setup.engine.infer(IMAGES)
    assert len(setup.started) == 1
    setup.end()


def test_an_engine_that_never_recovers_is_given_up() -> None:
    setup = Setup(throws=set(range(1000)))
    for _ in range(5):
        with pytest.raises(EngineError, match="the device is lost"):
            setup.engine.infer(IMAGES)
    with pytest.raises(StalledError, match="restarting the engine 5 times did not help"):
        setup.engine.infer(IMAGES)
    setup.end()


def test_an_engine_that_hangs_for_good_is_given_up_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "REOPENED_CALL_SECONDS", 0.1)
    monkeypatch.setattr(watchdog, "RESTART_WINDOW_SECONDS", 0.0)
    setup = Setup(hangs=set(range(1, 1000)))
    setup.engine.infer(IMAGES)
    for _ in range(5):
        # the limit is not the two minutes of a first call
        with pytest.raises(EngineError, match=r"not finished a call within 0\.1 s"):
            setup.engine.infer(IMAGES)
    with pytest.raises(StalledError, match="restarting the engine 5 times did not help"):
        setup.engine.infer(IMAGES)
    setup.end()


def test_an_engine_that_does_not_start_again_is_an_engine_error() -> None:
    def reopen() -> FakeEngine:
        raise EngineError("no memory")

    engine = WatchdogEngine(FaultyEngine(set(), {0}, iter(range(9)), threading.Event()), reopen, "fake")
    with pytest.raises(EngineError, match="device is lost"):
        engine.infer(IMAGES)
    with pytest.raises(EngineError, match="no memory"):
        engine.infer(IMAGES)
    engine.close()


def test_an_engine_that_could_not_be_opened_once_is_opened_by_the_next_call() -> None:
    tries = iter([MemoryError(), BundleError("it was replaced"), None])

    def reopen() -> FakeEngine:
        if error := next(tries):
            raise error
        return FakeEngine(2)

    engine = WatchdogEngine(FaultyEngine(set(), {0}, iter(range(9)), threading.Event()), reopen, "fake")
    for error in (EngineError, MemoryError, BundleError):
        with pytest.raises(error):
            engine.infer(IMAGES)
    assert engine.infer(IMAGES).shape == (1, 2)
    engine.close()


@pytest.mark.parametrize("fault", ["hangs", "throws"])
def test_a_loop_goes_on_after_the_frame_that_met_the_fault(fault: str) -> None:
    setup = Setup(**{fault: {5}})
    with Perceiver(setup.engine, ("dark", "bright"), InputSpec(4, 4)) as perceiver:
        report = run(camera_from([IMAGES[0]] * 20), perceiver, [])
    assert (report.decided, report.drops.engine) == (19, 1)
    setup.end()


def test_a_loop_ends_when_the_engine_always_fails() -> None:
    class Broken(FakeEngine):
        def infer(self, images: Image) -> Floats:
            raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        run(camera_from([IMAGES[0]] * 20), Perceiver(Broken(2), ("a", "b"), InputSpec(4, 4)), [])


@pytest.mark.parametrize("live", [True, False])
def test_a_live_camera_waits_for_an_unreachable_server(live: bool) -> None:
    class UnreachableServer(FakeEngine):
        calls = 0

        def infer(self, images: Image) -> Floats:
            self.calls += 1
            if self.calls <= 2 * MAX_CONSECUTIVE_FAILURES:
                raise EngineTimeoutError("no response within 33 ms")
            return super().infer(images)

    class TickingConnection:
        fps, endless = 500.0, True

        def grab(self) -> bool:
            time.sleep(0.002)
            return True

        def retrieve(self) -> Image:
            return IMAGES[0]

        def close(self) -> None:
            """There is nothing to close."""

    camera: Camera = LiveCamera(TickingConnection, "porch") if live else camera_from([IMAGES[0]] * 100)
    with Perceiver(UnreachableServer(2), ("dark", "bright"), InputSpec(4, 4)) as perceiver:
        if live:
            assert run(camera, perceiver, [], limit=1).drops.engine == 2 * MAX_CONSECUTIVE_FAILURES
        else:
            with pytest.raises(EngineTimeoutError):
                run(camera, perceiver, [])


def test_a_call_of_onnx_runtime_that_never_ends_is_given_up_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Loop of 2**62 rounds: the thread is not left behind with a busy core."""
    monkeypatch.setattr(watchdog, "FIRST_CALL_SECONDS", 0.2)
    before = threading.active_count()
    hostile = CompiledModel(endless_network(2, 4), b"", "fp32", InputSpec(4, 4), 2)
    engine = WatchdogEngine(OnnxEngine(hostile), lambda: FakeEngine(2), "onnx")
    with pytest.raises(EngineError, match=r"has not finished a call within 0\.2 s"):
        engine.infer(IMAGES)
    assert engine.infer(IMAGES).shape == (1, 2)  # another engine has taken its place
    engine.close()
    assert threading.active_count() == before


def test_a_call_within_its_time_returns_or_raises_what_it_does() -> None:
    assert run_within(5, lambda: [1], "counting") == [1]
    with pytest.raises(ZeroDivisionError):
        run_within(5, lambda: 1 // 0, "dividing")
    release = threading.Event()
    with pytest.raises(EngineError, match="waiting has not finished within 0 s, and was given up"):
        run_within(0.05, release.wait, "waiting")
    release.set()
