"""Engines that hang or throw: the next call is answered, and at last the guard gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from allweather.runtimes.cameras.open import Camera, LiveCamera, camera_from
from allweather.runtimes.engines import watchdog as guard
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.watchdog import WatchdogEngine
from allweather.runtimes.errors import EngineError, EngineTimeoutError, StalledError
from allweather.runtimes.loop.loop import FAILURES_MOST, run
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image

PICTURE = np.zeros((1, 4, 4, 3), np.uint8)


class Moody(FakeEngine):
    """Hangs or throws at some of its calls."""

    made: int
    release: threading.Event

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
        return super().run(images)

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A guarded engine with its makings."""

    def __init__(self, hangs: set[int] | None = None, throws: set[int] | None = None) -> None:
        self.made: list[Moody] = []
        self.release, self._calls = threading.Event(), iter(range(10**6))
        self._moods = hangs or set(), throws or set()
        self.engine = WatchdogEngine(self.start(), self.start, "fake", usual=0.1)

    def start(self) -> Moody:
        self.made.append(Moody(*self._moods, self._calls, self.release))
        return self.made[-1]

    def end(self) -> None:
        self.release.set()
        self.engine.close()
        deadline = time.monotonic() + 5
        while not all(each.closed for each in self.made) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [each.closed for each in self.made] == [1] * len(self.made)


def test_a_guarded_engine_answers_as_it_would_alone() -> None:
    bench = Bench()
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(bench.engine.infer(images), FakeEngine(2).run(images))
    bench.end()
    with pytest.raises(EngineError, match="has been closed"):
        bench.engine.infer(images)
    assert len(bench.made) == 1  # no other one is started for it


@pytest.mark.parametrize("mood", ["hangs", "throws"])
def test_after_a_bad_call_there_is_another_engine(mood: str) -> None:
    bench = Bench(**{mood: {3, 7}})
    answered = 0
    for _ in range(10):
        with suppress(EngineError):
            answered += len(bench.engine.infer(PICTURE))
    assert answered == 8
    assert len(bench.made) == 3
    bench.end()


def test_an_engine_that_never_recovers_is_given_up() -> None:
    bench = Bench(throws=set(range(1000)))
    for _ in range(5):
        with pytest.raises(EngineError, match="the device is lost"):
            bench.engine.infer(PICTURE)
    with pytest.raises(StalledError, match="started anew 5 times in vain"):
        bench.engine.infer(PICTURE)
    bench.end()


def test_an_engine_that_hangs_for_good_is_given_up_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(guard, "RESTARTS_WITHIN", 0.0)
    bench = Bench(hangs=set(range(1, 1000)))
    bench.engine.infer(PICTURE)
    for _ in range(5):
        with pytest.raises(EngineError, match=r"has not answered for 0\.1 s"):  # not the two minutes of a first call
            bench.engine.infer(PICTURE)
    with pytest.raises(StalledError, match="started anew 5 times in vain"):
        bench.engine.infer(PICTURE)
    bench.end()


def test_an_engine_that_does_not_start_again_is_an_engine_error() -> None:
    def again() -> FakeEngine:
        raise EngineError("no memory")

    engine = WatchdogEngine(Moody(set(), {0}, iter(range(9)), threading.Event()), again, "fake")
    with pytest.raises(EngineError, match="device is lost"):
        engine.infer(PICTURE)
    with pytest.raises(EngineError, match="no memory"):
        engine.infer(PICTURE)
    engine.close()


@pytest.mark.parametrize("mood", ["hangs", "throws"])
def test_a_loop_goes_on_after_the_frame_that_met_it(mood: str) -> None:
    bench = Bench(**{mood: {5}})
    with Perceiver(bench.engine, ("dark", "bright"), InputSpec(4, 4)) as eyes:
        report = run(camera_from([PICTURE[0]] * 20), eyes, [])
    assert (report.decided, report.drops.engine) == (19, 1)
    bench.end()


def test_a_loop_ends_when_the_engine_only_fails() -> None:
    class Broken(FakeEngine):
        def infer(self, images: Image) -> Floats:
            raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        run(camera_from([PICTURE[0]] * 20), Perceiver(Broken(2), ("a", "b"), InputSpec(4, 4)), [])


@pytest.mark.parametrize("live", [True, False])
def test_a_server_that_is_away_is_waited_for_by_a_live_camera(live: bool) -> None:
    class Away(FakeEngine):
        calls = 0

        def infer(self, images: Image) -> Floats:
            self.calls += 1
            if self.calls <= 2 * FAILURES_MOST:
                raise EngineTimeoutError("no answer within 33 ms")
            return super().run(images)

    class Ticking:
        fps, endless = 500.0, True

        def grab(self) -> bool:
            time.sleep(0.002)
            return True

        def retrieve(self) -> Image:
            return PICTURE[0]

        def close(self) -> None:
            """Nothing to let go of."""

    camera: Camera = LiveCamera(Ticking, "porch") if live else camera_from([PICTURE[0]] * 100)
    with Perceiver(Away(2), ("dark", "bright"), InputSpec(4, 4)) as eyes:
        if live:
            assert run(camera, eyes, [], limit=1).drops.engine == 2 * FAILURES_MOST
        else:
            with pytest.raises(EngineTimeoutError):
                run(camera, eyes, [])
