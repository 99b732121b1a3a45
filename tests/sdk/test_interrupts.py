from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from allweather.cli.interrupts import Interrupts
from allweather.runtimes.camera import camera_from
from allweather.runtimes.engine_fake import FakeEngine
from allweather.runtimes.frame import Decision, Frame, Image
from allweather.runtimes.image import InputSpec, Region
from allweather.runtimes.loop import run
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.sinks import Sink


class Counter(Sink):
    """Counts frames; sends this process a signal while it writes or closes."""

    def __init__(self, signalled_at: int | str | None = None) -> None:
        self.count, self.closed, self._at = 0, False, signalled_at

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        if frame.index == self._at:
            os.kill(os.getpid(), signal.SIGINT)
        self.count += 1

    def close(self) -> None:
        if self._at == "close":
            os.kill(os.getpid(), signal.SIGTERM)
        self.closed = True


def images(signalled_at: int | None = None) -> Iterator[Image]:
    for index in range(10):
        if index == signalled_at:
            os.kill(os.getpid(), signal.SIGTERM)
        yield np.zeros((8, 8, 3), np.uint8)


def watched(first: Counter, second: Counter, frames: Iterator[Image]) -> tuple[int, list[int]]:
    perceiver = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))
    with Interrupts(perceiver.decide, lambda frame, decision: None) as interrupts:
        report = run(camera_from(frames), interrupts.decide, [first, second, interrupts])
    assert first.closed
    assert second.closed
    return report.decided, interrupts.received


def test_a_frame_that_is_being_written_reaches_every_sink() -> None:
    first, second = Counter(3), Counter()
    assert watched(first, second, images()) == (4, [signal.SIGINT])
    assert (first.count, second.count) == (4, 4)


def test_the_wait_for_a_frame_is_cut_short() -> None:
    first, second = Counter(), Counter()
    assert watched(first, second, images(6)) == (6, [signal.SIGTERM])
    assert (first.count, second.count) == (6, 6)


def test_sinks_that_are_being_closed_are_closed() -> None:
    first, second = Counter(), Counter("close")
    assert watched(first, second, images()) == (10, [signal.SIGTERM])


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    watched(Counter(), Counter(), images())
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
