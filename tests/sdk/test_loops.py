"""Several loops end together."""

from __future__ import annotations

import threading

import pytest

from allweather.cli.loops import Watched, run_all
from allweather.runtimes.camera import StoredCamera
from allweather.runtimes.engine_fake import FakeEngine
from allweather.runtimes.errors import CameraError
from allweather.runtimes.frame import Image
from allweather.runtimes.image import InputSpec
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.tally import Tally


class Slow:
    """Gives no frame until it is closed, and closes when as many others as the barrier wants are closing, too."""

    fps: float | None = None
    endless = True

    def __init__(self, closing: threading.Barrier) -> None:
        self._closing, self._closed = closing, threading.Event()
        self.met = False

    def grab(self) -> bool:
        self._closed.wait(20)
        return False

    def retrieve(self) -> Image | None:
        return None

    def close(self) -> None:
        try:
            self._closing.wait(5)
            self.met = True
        finally:
            self._closed.set()


class Failing(Slow):
    """Fails at once."""

    def grab(self) -> bool:
        raise CameraError("the cable is cut")

    def close(self) -> None:
        """Nothing to let go of."""


def test_cameras_are_closed_at_once_not_one_after_the_other() -> None:
    closing = threading.Barrier(2)
    captures = [Slow(closing), Slow(closing), Failing(closing)]
    watched = [Watched(StoredCamera(each, "porch"), [], Tally()) for each in captures]
    with (
        Perceiver(FakeEngine(2), ("a", "b"), InputSpec(8, 8)) as eyes,
        pytest.raises(CameraError, match="the cable is cut"),
    ):
        run_all(watched, eyes, region=None, limit=None, watch=lambda frame, decision: None)
    assert all(each.met for each in captures[:2])
