from __future__ import annotations

import numpy as np
import pytest

from allweather.demo.drive_images import Example
from allweather.demo.outcomes import FrameOutcome, error_rate


def outcome(condition: str, sign: int | None, predicted: str = "stop") -> FrameOutcome:
    return FrameOutcome(condition, None if sign is None else "stop", sign, {"a": predicted}, 0.005, ("identity",))


def test_frames_without_a_sign_do_not_count() -> None:
    outcomes = [outcome("fog", 0), outcome("fog", 0, "yield"), outcome("fog", None), outcome("clear", 1, "yield")]
    assert [each.correct("a") for each in outcomes] == [True, False, None, False]
    assert error_rate(outcomes, "a", ["fog"]).error == 0.5
    assert np.isnan(error_rate(outcomes[2:3], "a", ["fog"]).error)


def test_each_condition_counts_equally() -> None:
    outcomes = [outcome("fog", 0, "yield")] + [outcome("snow", 1 + index) for index in range(9)]
    assert error_rate(outcomes, "a", ["fog", "snow"]).error == 0.5


def test_the_interval_is_over_signs_and_not_over_frames() -> None:
    """A hundred frames of one sign tell no more about other signs than one frame."""
    signs = [outcome("fog", sign, "yield" if sign % 2 else "stop") for sign in range(6)]
    few, many = error_rate(signs, "a", ["fog"]), error_rate(signs * 100, "a", ["fog"])
    assert (few.low, few.high) == (many.low, many.high)
    assert few.low < 0.2 < 0.8 < few.high


@pytest.mark.parametrize("swapped", [False, True])
def test_a_sign_that_only_the_last_system_reads_is_the_better_example(swapped: bool) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    both, near = Example(50, (True, True), image), Example(60, (True, True), image)
    shown, tiny = Example(40, (False, True), image), Example(18, (False, True), image)
    assert both.better_of(None) is both
    for better, other in ((both, near), (shown, both), (shown, tiny)):
        assert (other.better_of(better) if swapped else better.better_of(other)) is better
