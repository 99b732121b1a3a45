from __future__ import annotations

import numpy as np
import pytest

from allweather.demo.drive import FrameOutcome, accuracy_of
from allweather.demo.drive_images import Example


def test_frames_without_a_sign_do_not_count() -> None:
    outcomes = [
        FrameOutcome("dark", "stop", "stop", 5),
        FrameOutcome("dark", "stop", "yield", 5),
        FrameOutcome("dark", None, "stop", 5),
        FrameOutcome("clean", "stop", "yield", 5),
    ]
    assert [each.correct for each in outcomes] == [True, False, None, False]
    assert accuracy_of(outcomes, "dark") == 0.5
    assert np.isnan(accuracy_of(outcomes[2:3], "dark"))


@pytest.mark.parametrize("swapped", [False, True])
def test_an_incorrect_prediction_is_the_better_example(swapped: bool) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    small, large = (Example(width, "stop", "stop", image) for width in (45, 80))
    incorrect = Example(41, "stop", "yield", image)
    assert large.better_of(None) is large
    for better, other in ((large, small), (incorrect, large)):
        assert (other.better_of(better) if swapped else better.better_of(other)) is better
