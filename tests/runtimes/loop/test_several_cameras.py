"""Several loops end together."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

from allweather.runtimes.cameras.open import StoredCamera
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import CameraError
from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Decision, Frame, Image


class Ticking:
    """Gives a frame every hundredth of a second, so many of them, and is never read and closed at once."""

    fps: float | None = None
    endless = False

    def __init__(self, frames: int = 2000) -> None:
        self._left, self._within = frames, False
        self.misused = self.closed = False

    def grab(self) -> bool:
        self._within = True
        time.sleep(0.01)
        self._within = False
        self.misused |= self.closed
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> Image | None:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        self.misused |= self._within
        self.closed = True


class Failing(Ticking):
    """Fails at once."""

    def grab(self) -> bool:
        raise CameraError("the cable is cut")


class Meeting(StoredCamera):
    """Closes when as many others as the barrier wants are closing, too."""

    met = False

    def __init__(self, closing: threading.Barrier) -> None:
        super().__init__(Ticking(), "porch")
        self._closing = closing

    def _close(self) -> None:
        if not self.met:
            self._closing.wait(5)
            self.met = True
        super()._close()


def nothing(frame: Frame, decision: Decision) -> None:
    """Watches nothing."""


def eyes() -> Perceiver:
    return Perceiver(FakeEngine(2), ("a", "b"), InputSpec(8, 8))


def test_cameras_are_closed_at_once_not_one_after_the_other() -> None:
    closing = threading.Barrier(2)
    cameras = [Meeting(closing), Meeting(closing), StoredCamera(Failing(), "gate")]
    watched = [CameraLoop(each, [], LoopStats()) for each in cameras]
    with eyes() as perceiver, pytest.raises(CameraError, match="the cable is cut"):
        run_cameras(watched, perceiver, region=None, limit=None, watch=nothing)
    assert all(each.met for each in cameras[:2])  # type: ignore[attr-defined]


def test_no_source_is_closed_while_it_is_read() -> None:
    captures = [Ticking(), Ticking(), Failing()]
    watched = [CameraLoop(StoredCamera(each, "porch"), [], LoopStats()) for each in captures]
    with eyes() as perceiver, pytest.raises(CameraError, match="the cable is cut"):
        run_cameras(watched, perceiver, region=None, limit=None, watch=nothing)
    assert [each.closed for each in captures] == [True] * 3
    assert not any(each.misused for each in captures)


def test_each_decision_of_several_cameras_is_told() -> None:
    told: Counter[str] = Counter()
    watched = [CameraLoop(StoredCamera(Ticking(3), "porch"), [], LoopStats()) for _ in range(2)]
    with eyes() as perceiver:
        run_cameras(
            watched, perceiver, region=None, limit=None, watch=lambda _, decision: told.update([decision.label])
        )
    assert told.total() == 6


SIGNALLED = """
import os, signal, sys, time
sys.path.insert(0, os.path.dirname({file!r}))
from test_several_cameras import *

class Lingering(StoredCamera):
    def close(self):
        if not self._closed:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
        super().close()

cameras = [Lingering(Ticking(), "porch"), StoredCamera(Failing(), "gate")]
with eyes() as perceiver:
    try:
        loops = [CameraLoop(each, [], LoopStats()) for each in cameras]
        run_cameras(loops, perceiver, region=None, limit=None, watch=nothing)
    except CameraError as error:
        print(error)
"""


def test_a_signal_while_loops_end_is_kept_and_the_error_is_heard_of() -> None:
    words = [sys.executable, "-c", SIGNALLED.format(file=__file__)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "the cable is cut\n"), done.stderr
