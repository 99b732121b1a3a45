from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from allweather.trainers.training.launch import launch
from allweather.trainers.training.resume_file import SAVE_INTERVAL, SaveTimer


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.floats(0.005, 500), st.floats(1, 60))
@example(0.005, 46.0)  # a first step as long as many others
@pytest.mark.slow
def test_a_run_is_saved_in_time_and_the_clock_is_seldom_asked(step_seconds: float, first_step_seconds: float) -> None:
    now, looks = 0.0, 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now

    timer = SaveTimer(launch(), clock)
    for _ in range(2):
        started, steps, looks = now, 0, 0
        while True:
            steps += 1
            now += first_step_seconds if steps == 1 else step_seconds
            if timer.due():
                break
        timer.restart()
        assert SAVE_INTERVAL < now - started <= SAVE_INTERVAL + 2 * max(step_seconds, first_step_seconds)
        assert looks <= 4 + 3 * steps.bit_length()


def test_a_clock_that_stands_still_saves_nothing() -> None:
    timer = SaveTimer(launch(), lambda: 1.0)
    assert not any(timer.due() for _ in range(1000))


@pytest.mark.parametrize("seconds", [SAVE_INTERVAL + 1, 3 * SAVE_INTERVAL])
def test_a_run_with_long_steps_is_saved_after_each(seconds: float) -> None:
    now = 0.0
    timer = SaveTimer(launch(), lambda: now)
    for _ in range(5):
        now += seconds
        assert timer.due()
        timer.restart()
