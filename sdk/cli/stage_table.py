"""The table of the stages of a command that takes minutes, as they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allweather.cli.console import err, say
from allweather.cli.minute_lines import MinuteLines, duration
from allweather.journey import Stage, pace, seconds_left

if TYPE_CHECKING:
    from rich.table import Table

SHARE_STEPS = 1000  # in which lines count what is done of a stage
MARKS = {"waiting": "", "running": "...", "done": "done", "kept": "kept"}


@contextmanager
def stage_table() -> Iterator[Callable[[Sequence[Stage]], None]]:
    """Shows a table of the stages on stderr where that is a terminal, and prints a line for each stage elsewhere."""
    from rich.live import Live

    if not err.is_terminal:
        yield _StageLines()
        return
    with Live(console=err, refresh_per_second=4, transient=False) as live:
        yield lambda stages: live.update(_table(stages))


def _table(stages: Sequence[Stage]) -> Table:
    from rich.table import Table

    unfinished = any(stage.state in ("waiting", "running") for stage in stages)
    title = f"about {duration(seconds_left(stages))} left" if unfinished else "finished"
    table = Table(title=title, title_justify="left")
    for name, justify in (("stage", "left"), ("", "left"), ("done", "right"), ("s", "right"), ("result", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    here = pace(stages)
    for stage in stages:
        seconds = f"{stage.seconds:.0f}" if stage.state != "waiting" else f"about {here * stage.expected:.0f}"
        table.add_row(stage.name, MARKS[stage.state], f"{100 * stage.share:.0f} %", seconds, stage.result)
    return table


class _StageLines:
    """Prints a line when a stage has begun, one a minute while it runs, and one when it ends."""

    def __init__(self) -> None:
        self._printed: set[tuple[str, str]] = set()
        self._begun: set[str] = set()
        self._minute_lines = MinuteLines(say)

    def __call__(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if stage.state == "running":
                self._minute_lines(round(SHARE_STEPS * stage.share), stage.name, SHARE_STEPS)
            if stage.state == "waiting" or (stage.name, stage.state) in self._printed:
                continue
            if stage.state == "running":
                if stage.name not in self._begun:  # it may be seen next that its result was kept
                    self._begun.add(stage.name)
                    continue
                say(f"{stage.name}: about {duration(pace(stages) * stage.expected)}")
            elif stage.share == 1:
                say(f"{stage.name}: {stage.state} in {stage.seconds:.0f} s{': ' if stage.result else ''}{stage.result}")
            else:
                continue
            self._printed.add((stage.name, stage.state))
