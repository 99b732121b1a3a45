"""A recording played as if it were a camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.cameras.playback import PacedCapture
from allweather.runtimes.types import Image


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Recording:
    """A recording that never ends and takes no time to read."""

    fps: float | None = None
    endless = False

    def __init__(self) -> None:
        self.closed = 0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> Image | None:
        return np.zeros((4, 4, 3), np.uint8)

    def close(self) -> None:
        self.closed += 1


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.01, 0.03, 0.5]), min_size=1, max_size=40))
@pytest.mark.slow
def test_a_recording_keeps_its_speed_and_never_bursts(stalls: list[float]) -> None:
    clock = Clock()
    capture = PacedCapture(Recording(), 25, clock=clock, sleep=clock.sleep)
    moments = []
    for stall in stalls:
        assert capture.grab()
        moments.append(clock.now)
        clock.now += stall
    for before, after, stall in zip(moments, moments[1:], stalls, strict=False):
        assert after - before == pytest.approx(max(stall, 0.04), abs=1e-9) or after - before >= 0.04 - 1e-9
    assert capture.fps == 25


def test_it_passes_frames_on_and_closes_the_recording() -> None:
    recording = Recording()
    capture = PacedCapture(recording, 25)
    assert capture.grab()
    image = capture.retrieve()
    assert image is not None
    assert image.shape == (4, 4, 3)
    capture.close()
    assert recording.closed == 1
