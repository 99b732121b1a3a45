"""SIGINT and SIGTERM during a loop. The signals are calls of the handler; real ones are tested on the command line."""

from __future__ import annotations

import io
import logging
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.signals import StopOnSignal
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Frame, Image


class SignallingSink(Sink):
    """Counts frames, and has a signal come while it is opened, writes a certain frame, or is closed."""

    stopper: StopOnSignal

    def __init__(self, signal_at: int | str | None = None) -> None:
        self.count, self.closed, self._signal_at = 0, False, signal_at

    def open(self) -> None:
        if self._signal_at == "open":
            self.stopper.handle_signal(signal.SIGINT, None)

    def write(self, frame: Frame, decision: Decision) -> None:
        if frame.index == self._signal_at:
            self.stopper.handle_signal(signal.SIGINT, None)
        self.count += 1

    def close(self) -> None:
        if self._signal_at == "close":
            self.stopper.handle_signal(signal.SIGTERM, None)
        self.closed = True


def run_ten_frames(
    first: SignallingSink, second: SignallingSink, signal_before: int | None = None
) -> tuple[int, list[int]]:
    """Runs a loop of ten frames, in which a signal may come while the loop waits for the frame `signal_before`.

    Returns:
        The number of decisions, and the signals that came.
    """
    perceiver = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))

    def images() -> Iterator[Image]:
        for index in range(10):
            if index == signal_before:
                stopper.handle_signal(signal.SIGTERM, None)
            yield np.zeros((8, 8, 3), np.uint8)

    with StopOnSignal(perceiver, lambda frame, decisions: None) as stopper:
        first.stopper = second.stopper = stopper
        report = run(camera_from(images()), stopper, [first, second, stopper])
    assert first.closed
    assert second.closed
    return report.decided, stopper.received


def test_a_frame_that_is_being_written_reaches_every_sink() -> None:
    first, second = SignallingSink(3), SignallingSink()
    assert run_ten_frames(first, second) == (4, [signal.SIGINT])
    assert (first.count, second.count) == (4, 4)


def test_the_wait_for_a_frame_is_interrupted() -> None:
    first, second = SignallingSink(), SignallingSink()
    assert run_ten_frames(first, second, 6) == (6, [signal.SIGTERM])
    assert (first.count, second.count) == (6, 6)


def test_a_signal_does_not_interrupt_closing_the_sinks() -> None:
    first, second = SignallingSink(), SignallingSink("close")
    assert run_ten_frames(first, second) == (10, [signal.SIGTERM])


def test_a_signal_does_not_interrupt_opening_the_sinks() -> None:
    first, second = SignallingSink("open"), SignallingSink()
    assert run_ten_frames(first, second) == (0, [signal.SIGINT])
    assert (first.count, second.count) == (0, 0)


def test_a_signal_that_comes_while_something_is_logged_is_not_lost() -> None:
    stopper = StopOnSignal(Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8)), lambda frame, decisions: None)
    stopper.open()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            stopper.handle_signal(signal.SIGINT, None)
            return len(text)

    logger = logging.Logger("interrupted")
    logger.addHandler(logging.StreamHandler(Stream()))
    with pytest.raises(Ended):
        logger.warning("the camera is gone")


@pytest.mark.parametrize("seconds", [0.0, 0.9, 1.1, 60.0])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_come_together_are_one_wish_and_a_later_one_interrupts(second: int, seconds: float) -> None:
    times = iter([5.0, 5.0 + seconds])
    decider = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))
    stopper = StopOnSignal(decider, lambda frame, decisions: None, clock=lambda: next(times))
    stopper.handle_signal(signal.SIGTERM, None)
    if seconds < 1:
        stopper.handle_signal(second, None)
    else:
        with pytest.raises(KeyboardInterrupt):
            stopper.handle_signal(second, None)
    assert stopper.received == [signal.SIGTERM, second]


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    run_ten_frames(SignallingSink(), SignallingSink())
    assert signal.getsignal(signal.SIGINT) is before


def test_a_ctrl_c_that_is_ignored_stays_ignored() -> None:  # as in the background of a script
    decider = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopOnSignal(decider, lambda frame, decisions: None) as stopper:
            stopper.open()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Ended):
                signal.raise_signal(signal.SIGTERM)
        assert stopper.received == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_lost_terminal_ends_the_loop_and_an_ignored_one_does_not() -> None:
    decider = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))
    before = signal.getsignal(signal.SIGHUP)
    try:
        for handler, is_handled in ((signal.SIG_DFL, True), (signal.SIG_IGN, False)):
            signal.signal(signal.SIGHUP, handler)
            with StopOnSignal(decider, lambda frame, decisions: None) as stopper:
                assert (signal.getsignal(signal.SIGHUP) == stopper.handle_signal) == is_handled
                stopper.open()
                if not is_handled:
                    signal.raise_signal(signal.SIGHUP)
                else:
                    with pytest.raises(Ended):
                        signal.raise_signal(signal.SIGHUP)
                    signal.raise_signal(signal.SIGHUP)  # a terminal may send it twice
            assert stopper.received == [signal.SIGHUP] * 2 * is_handled
            assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)
