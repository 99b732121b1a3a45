"""Where no terminal shows a progress bar, a line a minute tells how far a command is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.cli import console
from allweather.cli.minute_lines import INTERVAL, MinuteLines, duration
from allweather.cli.stage_table import stage_table
from allweather.journey import Journey


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(events: list[tuple[float, int, str, int | None]]) -> list[str]:
    """What is printed when each event comes at so many seconds after the beginning."""
    clock, printed = Clock(), list[str]()
    lines = MinuteLines(printed.append, clock)
    for seconds, done, description, total in events:
        clock.now = 1000.0 + seconds
        lines(done, description, total)
    return printed


def test_it_tells_the_share_and_the_time_that_is_left() -> None:
    steps = [(float(second), second, "train", 300) for second in range(200)]
    assert lines_of(steps) == [
        "train: 20 % done, about 4 min left",
        "train: 40 % done, about 3 min left",
        "train: 60 % done, about 2 min left",
    ]


def test_what_was_done_before_a_resumed_run_counts_for_the_share_alone() -> None:
    assert lines_of([(0, 900, "train", 1000), (60, 910, "train", 1000)]) == ["train: 91 % done, about 9 min left"]


def test_another_count_has_a_pace_of_its_own() -> None:
    events = [(0, 0, "a", 10), (50, 10, "a", 10), (59, 0, "b", 10), (61, 1, "b", 10)]
    assert lines_of(events) == ["b: 10 % done, about 18 s left"]
    assert lines_of([(70, 0, "strength of blur", None)]) == ["strength of blur: still running"]
    assert lines_of([(70, 0, "evaluate", 20)]) == ["evaluate: 0 % done"]


def test_what_is_not_all_is_less_than_100_percent_and_nothing_is_more() -> None:
    assert lines_of([(0, 0, "train", 1000), (60, 999, "train", 1000)]) == ["train: 99 % done, about 0 s left"]
    assert lines_of([(0, 0, "train", 10), (60, 15, "train", 10)]) == ["train: 100 % done"]


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 50), st.sampled_from([None, 0, 7, 50])), max_size=60))
def test_there_is_at_most_one_a_minute(steps: list[tuple[float, int, int | None]]) -> None:
    events, now = [], 0.0
    for seconds, done, total in steps:
        now += seconds
        events.append((now, done, "train", total))
    assert len(lines_of(events)) <= now / INTERVAL


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89.6, "90 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h"), (86400, "24.0 h")],
)
def test_a_duration_is_told_in_its_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_bar_without_a_terminal_and_the_stages_of_create_print_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(MinuteLines.__init__, "__defaults__", (clock,))
    assert not console.err.is_terminal
    with console.progress_bar("evaluate") as update, console.progress_bar("run", lines=False) as silent:
        clock.now += 90
        update(1, "clean", 4)
        silent(1, "run: stop", 4)
    with stage_table() as listener:
        journey = Journey({"first": 120.0, "second": 60.0}, listener, clock)
        for name in ("first", "second"):
            with journey.stage(name) as run:
                for share in range(10):
                    clock.now += 12
                    run.update(share, 10)
    assert capsys.readouterr().err.splitlines() == [
        "clean: 25 % done",
        *("first: about 2 min", "first: 40 % done, about 2 min left", "first: 90 % done, about 13 s left"),
        *("first: done in 120 s", "second: about 60 s"),
        *("second: 40 % done, about 2 min left", "second: 90 % done, about 13 s left", "second: done in 120 s"),
    ]
