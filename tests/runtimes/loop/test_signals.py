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
from allweather.runtimes.loop.signals import Interrupts
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec, Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Frame, Image


class Counter(Sink):
    """Counts frames; has a signal come while it is opened, writes or closes."""

    interrupts: Interrupts

    def __init__(self, signalled_at: int | str | None = None) -> None:
        self.count, self.closed, self._at = 0, False, signalled_at

    def open(self) -> None:
        if self._at == "open":
            self.interrupts.signalled(signal.SIGINT, None)

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        if frame.index == self._at:
            self.interrupts.signalled(signal.SIGINT, None)
        self.count += 1

    def close(self) -> None:
        if self._at == "close":
            self.interrupts.signalled(signal.SIGTERM, None)
        self.closed = True


def watched(first: Counter, second: Counter, waiting_at: int | None = None) -> tuple[int, list[int]]:
    """Runs ten frames; a signal comes while the frame `waiting_at` is waited for. The signals are calls of the handler.

    What a real one does is tested on the command line, in a process of its own.
    """
    perceiver = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))

    def images() -> Iterator[Image]:
        for index in range(10):
            if index == waiting_at:
                interrupts.signalled(signal.SIGTERM, None)
            yield np.zeros((8, 8, 3), np.uint8)

    with Interrupts(perceiver, lambda frame, decision: None) as interrupts:
        first.interrupts = second.interrupts = interrupts
        report = run(camera_from(images()), interrupts, [first, second, interrupts])
    assert first.closed
    assert second.closed
    return report.decided, interrupts.received


def test_a_frame_that_is_being_written_reaches_every_sink() -> None:
    first, second = Counter(3), Counter()
    assert watched(first, second) == (4, [signal.SIGINT])
    assert (first.num_views, second.count) == (4, 4)


def test_the_wait_for_a_frame_is_cut_short() -> None:
    first, second = Counter(), Counter()
    assert watched(first, second, 6) == (6, [signal.SIGTERM])
    assert (first.num_views, second.count) == (6, 6)


def test_sinks_that_are_being_closed_are_closed() -> None:
    first, second = Counter(), Counter("close")
    assert watched(first, second) == (10, [signal.SIGTERM])


def test_what_is_being_opened_is_opened_and_then_closed() -> None:
    first, second = Counter("open"), Counter()
    assert watched(first, second) == (0, [signal.SIGINT])
    assert (first.num_views, second.count) == (0, 0)


def test_a_signal_that_comes_while_something_is_logged_is_not_lost() -> None:
    interrupts = Interrupts(Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8)), lambda frame, decision: None)
    interrupts.open()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            interrupts.signalled(signal.SIGINT, None)
            return len(text)

    logger = logging.Logger("interrupted")
    logger.addHandler(logging.StreamHandler(Stream()))
    with pytest.raises(Ended):
        logger.warning("the camera is gone")


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    watched(Counter(), Counter())
    assert signal.getsignal(signal.SIGINT) is before
