"""allweather demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.command_line import origin_of
from allweather.cli.console import handle_errors, print_result, print_table, say
from allweather.cli.options import AsJson, Seed
from allweather.cli.output_lock import locks_output
from allweather.cli.stage_table import stage_table
from allweather.cli.training import prepare_cpu

DEFAULT_FRAMES = 1680


@handle_errors
@locks_output
def demo(
    context: typer.Context,
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
    with stage_table() as watch:
        summary = run_demo(out, settings, quick=quick, origin=origin_of(context, seed), say=say, watch=watch)
    if as_json:
        print_result(summary, True, "demo")
        return
    errors = summary["errors"]
    rows = [("signs misread, %", *errors)]
    for condition in next(iter(errors.values())):
        rows.append((condition, *(f"{100 * each[condition]['error']:.1f}" for each in errors.values())))
    print_table(rows)
    print_result({name: value for name, value in summary.items() if not name.startswith("error")}, False, "demo")
