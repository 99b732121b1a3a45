from __future__ import annotations

from collections.abc import Sequence

import pytest

from allweather.journey import Journey, Stage, seconds_left


def test_a_journey_tells_what_runs_and_what_came_of_it() -> None:
    now, seen = [0.0], list[Sequence[Stage]]()
    journey = Journey({"train": 60, "drive": 40}, seen.append, lambda: now[0])
    assert seconds_left(journey.stages) == 100
    with journey.stage("train") as run:
        now[0] = 60
        run.update(1, 2)
        assert seconds_left(journey.stages) == pytest.approx(140)  # half as fast as expected: 60 and 80 s are left
        now[0] = 120
        run.result("95 %")
    assert [(stage.state, stage.seconds, stage.result) for stage in journey.stages] == [
        ("done", 120, "95 %"), ("waiting", 0, ""),
    ]  # fmt: skip
    with journey.stage("drive") as run:
        run.kept()
    assert journey.stages[1].state == "kept"
    assert seconds_left(journey.stages) == 0
    assert seen[-1] == journey.stages


def test_a_slow_start_of_a_stage_says_nothing_of_the_rest() -> None:
    now = [0.0]
    journey = Journey({"train": 200, "finetune": 100}, clock=lambda: now[0])
    with journey.stage("train") as run:
        now[0] = 14  # for the first step, which waits for libraries
        run.update(1, 100)
        assert seconds_left(journey.stages) == pytest.approx(198 + 100)
        now[0] = 30
        run.update(10, 100)
        assert seconds_left(journey.stages) == pytest.approx(1.5 * (180 + 100))


def test_a_stage_that_fails_stays_as_it_was() -> None:
    journey = Journey({"train": 60})
    with pytest.raises(KeyboardInterrupt), journey.stage("train"):
        raise KeyboardInterrupt
    assert journey.stages[0].state == "running"
