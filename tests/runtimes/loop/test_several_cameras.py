"""Several loops on one perceiver, and how they end together."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

from allweather.runtimes.cameras.base import StoredCamera
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import CameraError
from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Decision, Frame, Image


class Ticking:
    """Gives `frames` frames, a hundredth of a second apart, and notes whether it is closed while it is read."""

    fps: float | None = None
    endless = False

    def __init__(self, frames: int = 2000) -> None:
        self._left, self._is_read = frames, False
        self.misused = self.closed = False

    def grab(self) -> bool:
        self._is_read = True
        time.sleep(0.01)
        self._is_read = False
        self.misused |= self.closed
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> Image | None:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        self.misused |= self._is_read
        self.closed = True


class Failing(Ticking):
    """Fails at its first frame."""

    def grab(self) -> bool:
        raise CameraError("the cable is cut")


class ClosingTogether(StoredCamera):
    """Closes only while as many others as the barrier needs are being closed, too."""

    closed_together = False

    def __init__(self, closing: threading.Barrier) -> None:
        super().__init__(Ticking(), "porch")
        self._closing = closing

    def _stop(self) -> None:
        if not self.closed_together:
            self._closing.wait(5)
            self.closed_together = True
        super()._stop()


def ignore(frame: Frame, decision: Decision) -> None:
    """Does nothing."""


def new_perceiver() -> Perceiver:
    return Perceiver(FakeEngine(2), ("a", "b"), InputSpec(8, 8))


def test_cameras_are_closed_at_the_same_time() -> None:
    closing = threading.Barrier(2)
    cameras = [ClosingTogether(closing), ClosingTogether(closing), StoredCamera(Failing(), "gate")]
    perceiver = new_perceiver()
    loops = [CameraLoop(each, perceiver, [], LoopStats()) for each in cameras]
    with perceiver, pytest.raises(CameraError, match="the cable is cut"):
        run_cameras(loops, limit=None, on_decisions=ignore)
    assert all(camera.closed_together for camera in cameras[:2])  # type: ignore[attr-defined]


def test_no_source_is_closed_while_it_is_read() -> None:
    captures = [Ticking(), Ticking(), Failing()]
    perceiver = new_perceiver()
    loops = [CameraLoop(StoredCamera(each, "porch"), perceiver, [], LoopStats()) for each in captures]
    with perceiver, pytest.raises(CameraError, match="the cable is cut"):
        run_cameras(loops, limit=None, on_decisions=ignore)
    assert [each.closed for each in captures] == [True] * 3
    assert not any(each.misused for each in captures)


def test_the_callback_gets_each_decision_of_several_cameras() -> None:
    labels: Counter[str] = Counter()
    perceiver = new_perceiver()
    loops = [CameraLoop(StoredCamera(Ticking(3), "porch"), perceiver, [], LoopStats()) for _ in range(2)]
    with perceiver:
        run_cameras(
            loops,
            limit=None,
            on_decisions=lambda _, decisions: labels.update([decisions[0].label]),
        )
    assert labels.total() == 6


SIGNAL_AT_THE_START = """
import logging, os, signal, sys
sys.path.insert(0, os.path.dirname({file!r}))
from test_several_cameras import *
from allweather.runtimes.errors import OutputError
from allweather.runtimes.sinks import Sink

class Slow(Sink):
    def write(self, frame, decision): ...
    def open(self):
        time.sleep(0.3)  # the signal comes before the other camera is opened
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)

class Losing(Sink):
    def write(self, frame, decision): ...
    def close(self):
        raise OutputError("2 decisions are missing")

class Late(StoredCamera):
    def __enter__(self):
        time.sleep(1)
        return super().__enter__()

logging.basicConfig(format="%(message)s", stream=sys.stdout)
loops = [
    CameraLoop(StoredCamera(Ticking(), "porch"), new_perceiver(), [Losing(), Slow()], LoopStats()),
    CameraLoop(Late(Ticking(), "gate"), new_perceiver(), [], LoopStats()),
]
print([int(each) for each in run_cameras(loops, limit=None, on_decisions=ignore)])
"""


@pytest.mark.slow
def test_what_a_signal_makes_loops_say_is_no_failure() -> None:
    command = [sys.executable, "-c", SIGNAL_AT_THE_START.format(file=__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = (done.returncode, done.stdout)
    assert said == (0, f"2 decisions are missing\n[{signal.SIGTERM:d}]\n"), done.stderr


SIGNAL_WHILE_CLOSING = """
import os, signal, sys, time
sys.path.insert(0, os.path.dirname({file!r}))
from test_several_cameras import *

class SignallingCamera(StoredCamera):
    def close(self):
        if not self._closed:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
        super().close()

cameras = [SignallingCamera(Ticking(), "porch"), StoredCamera(Failing(), "gate")]
with new_perceiver() as perceiver:
    try:
        loops = [CameraLoop(each, perceiver, [], LoopStats()) for each in cameras]
        run_cameras(loops, limit=None, on_decisions=ignore)
    except CameraError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_signal_while_loops_end_does_not_hide_the_error() -> None:
    command = [sys.executable, "-c", SIGNAL_WHILE_CLOSING.format(file=__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "the cable is cut\n"), done.stderr
