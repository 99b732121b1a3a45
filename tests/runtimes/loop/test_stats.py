"""The statistics of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from allweather.runtimes.loop.latency import LatencySummary
from allweather.runtimes.loop.stats import Heartbeat, LoopStats
from allweather.runtimes.types import Decision, Drops, StageTimes


def decision(*, age: float = 0.02, late: bool = False, seconds: float = 0) -> Decision:
    times = StageTimes(0, 0, 0, 0, seconds, 0)
    return Decision("stop", 1.0, np.ones(1, np.float32), 0, ("identity",), (), times, age, late, 0)


def test_it_tells_for_which_decisions_the_large_classifier_ran_and_what_set_the_views() -> None:
    stats, first = LoopStats(), decision()
    more = replace(first, views=("identity", "large:identity"))
    stats.add_decisions((first, more))
    stats.add_decisions((replace(first, reason="budget"),))
    report = stats.report()
    assert (report.large_runs, report.reasons) == (1, {"policy": 2, "budget": 1})


def test_it_counts_frames_and_measures_by_its_clock() -> None:
    now = [100.0]
    stats = LoopStats(clock=lambda: now[0])
    camera_drops = [Drops(decode=7, source=1)]
    stats.start(lambda: camera_drops[0])
    stats.add_decisions((decision(age=0.02, seconds=0.01),))
    stats.add_decisions((decision(age=0.06, late=True, seconds=0.03),))
    stats.add_stage_time("sink", 0.5)
    now[0] = 104.0
    camera_drops[0] = Drops(decode=8, superseded=1, source=1)
    stats.add_drops(Drops(late=1))
    report = stats.report()
    assert (report.frames, report.decided, report.late, report.seconds) == (5, 2, 1, 4.0)
    assert report.drops == Drops(decode=1, superseded=1, late=1)
    assert report.decisions_per_second == 0.5
    assert report.decision_time == LatencySummary(2, 0.01, 0.02, 0.01, 0.03, 0.03, 0.03)
    assert report.frame_age is not None
    assert report.frame_age.maximum == 0.06
    assert (sum(report.confidences), report.mean_confidence) == (2, 1.0)
    assert report.confidences[9] == 2
    assert report.labels == {"stop": 2}
    assert list(report.stages) == ["prepare", "rank", "plan", "views", "infer", "aggregate", "detect", "sink"]
    assert (report.stages["infer"].mean, report.stages["sink"].maximum) == (0.02, 0.5)
    assert (report.views_per_frame, report.views_run, report.mean_views) == (((1, 2),), 2, 1.0)


def test_a_run_without_frames_has_a_report() -> None:
    report = LoopStats(clock=lambda: 1.0).report()
    assert (report.frames, report.seconds, report.decisions_per_second) == (0, 0.0, 0.0)
    assert report.decision_time is None
    assert report.frame_age is None
    assert (report.stages, report.views_per_frame, report.views_run, report.mean_views) == ({}, (), 0, 0.0)


def test_drops_can_be_added_and_subtracted() -> None:
    assert Drops(3, 10, 2, 1, 5).since(Drops(1, 4, 2, 0, 1)) == Drops(2, 6, 0, 1, 4)
    assert Drops(1, 4, 2, 0, 1).plus(Drops(2, 6, 0, 1, 4)) == Drops(3, 10, 2, 1, 5)
    assert Drops(2, 6, 3, 1, source=7).total == 12


def test_the_heartbeat_tells_deciding_from_waiting() -> None:
    now = [10.0]
    stats = LoopStats(clock=lambda: now[0])
    assert stats.heartbeat() == Heartbeat(10.0, None)
    stats.add_decisions((decision(),))
    now[0] = 12.0
    stats.mark_alive()
    assert stats.heartbeat() == Heartbeat(12.0, 10.0)


def test_cumulative_counts_of_decision_times_and_frame_ages() -> None:
    stats = LoopStats()
    for milliseconds in (1, 2, 4, 8):
        stats.add_decisions((decision(age=milliseconds / 500, seconds=milliseconds / 1000),))
    assert stats.cumulative_counts([0.0005, 0.003, 0.005, 1.0]) == ([0, 2, 3, 4], [0, 1, 2, 4])
