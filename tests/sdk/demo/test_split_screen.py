from __future__ import annotations

import numpy as np
import pytest

from allweather.demo.split_screen import STRIP_HEIGHT, Reading, split_screen
from allweather.runtimes.region import Region

REGION = Region(300, 100, 60, 60)


@pytest.mark.parametrize("correct", [True, False, None])
def test_the_frame_stays_as_it_is_outside_of_the_region_and_the_label(correct: bool | None) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    before = frame.copy()
    readings = {name: Reading(3, 0.9, correct, 0.25, "1 view, 0.8 ms") for name in ("plain", "robust", "robust + TTA")}
    picture = split_screen(frame, REGION, "fog", readings)
    assert picture.shape == (360 + STRIP_HEIGHT, 640, 3)
    assert np.array_equal(frame, before)
    assert np.array_equal(picture[200:360], frame[200:])
    assert np.array_equal(picture[:360, 300:360], frame[:, 300:360]) == (correct is None)


def test_right_and_wrong_look_different_in_gray_as_well() -> None:
    frame = np.zeros((360, 640, 3), np.uint8)
    strips = [
        split_screen(frame, REGION, "fog", {"plain": Reading(3, 0.9, correct, 0, "")})[360:].mean(axis=2)
        for correct in (True, False)
    ]
    assert np.abs(strips[0] - strips[1]).max() > 100  # the check mark and the cross
