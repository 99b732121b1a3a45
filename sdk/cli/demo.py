"""allweather demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import err, handle_errors, print_result, print_table, say
from allweather.cli.options import AsJson, Seed
from allweather.cli.output_lock import locks_output
from allweather.cli.training import prepare_cpu

if TYPE_CHECKING:
    from rich.table import Table

    from allweather.demo.journey import Stage

DEFAULT_FRAMES = 1680
MARKS = {"waiting": "", "running": "...", "done": "done", "kept": "kept"}


@handle_errors
@locks_output
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write the report, video and models into.")] = Path("demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Drive with the models of samples/bundles, without training any.")
    ] = False,
    frames: Annotated[int, typer.Option(help="Number of frames of the drive.")] = DEFAULT_FRAMES,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Trains a classifier of road signs, makes it robust, exports it, and drives through bad weather.

    If it is stopped, the same command goes on where it was.
    """
    from allweather.demo.demo import run_demo
    from allweather.demo.settings import DemoSettings

    settings = DemoSettings(frames=frames, seed=seed)
    prepare_cpu()
    with _stage_table() as watch:
        summary = run_demo(out, settings, quick=quick, say=say, watch=watch)
    if as_json:
        print_result(summary, True, "demo")
        return
    errors = summary["errors"]
    rows = [("signs misread, %", *errors)]
    for condition in next(iter(errors.values())):
        rows.append((condition, *(f"{100 * each[condition]['error']:.1f}" for each in errors.values())))
    print_table(rows)
    print_result({name: value for name, value in summary.items() if not name.startswith("error")}, False, "demo")


@contextmanager
def _stage_table() -> Iterator[Callable[[Sequence[Stage]], None]]:
    """Shows a table of the stages on stderr where that is a terminal, and prints a line for each stage elsewhere."""
    from rich.live import Live

    if not err.is_terminal:
        yield _StageLines()
        return
    with Live(console=err, refresh_per_second=4, transient=False) as live:
        yield lambda stages: live.update(_table(stages))


def _table(stages: Sequence[Stage]) -> Table:
    from rich.table import Table

    from allweather.demo.journey import seconds_left

    unfinished = any(stage.state in ("waiting", "running") for stage in stages)
    table = Table(title=f"about {seconds_left(stages):.0f} s left" if unfinished else "finished", title_justify="left")
    for name, justify in (("stage", "left"), ("", "left"), ("done", "right"), ("s", "right"), ("result", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for stage in stages:
        seconds = f"{stage.seconds:.0f}" if stage.state != "waiting" else f"about {stage.expected:.0f}"
        table.add_row(stage.name, MARKS[stage.state], f"{100 * stage.share:.0f} %", seconds, stage.result)
    return table


class _StageLines:
    """Prints a line when a stage starts, and one when it ends."""

    def __init__(self) -> None:
        self._printed: set[tuple[str, str]] = set()

    def __call__(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if stage.state == "waiting" or (stage.name, stage.state) in self._printed:
                continue
            if stage.state == "running":
                say(f"{stage.name}: about {stage.expected:.0f} s on two idle cores")
            elif stage.share == 1:
                say(f"{stage.name}: {stage.state} in {stage.seconds:.0f} s{': ' if stage.result else ''}{stage.result}")
            else:
                continue
            self._printed.add((stage.name, stage.state))
