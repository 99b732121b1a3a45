"""allweather bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result, say, table
from allweather.cli.options import AsJson, PrecisionChoice, RunningChoice, report_folder
from allweather.runtimes.errors import UsageError


@guarded
def bench(
    bundle: Annotated[Path, typer.Argument(help="made by export: a folder or .zip")],
    source: Annotated[
        str | None, typer.Option(help="video file or folder of pictures; frames of 640 x 480 are made up without one")
    ] = None,
    frames: Annotated[int, typer.Option(help="decisions of each run")] = 200,
    looks: Annotated[str, typer.Option(help="numbers of views a frame, such as 1,2,4")] = "1,2,4",
    engine: Annotated[RunningChoice | None, typer.Option(help="all that run here if not given")] = None,
    precision: Annotated[PrecisionChoice | None, typer.Option(help="all that the bundle has if not given")] = None,
    threads: Annotated[int | None, typer.Option(help="cores to decide on; all if not given")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of a page, its picture and all figures")] = None,
    as_json: AsJson = False,
) -> None:
    """Says how fast a bundle is here: stage by stage, for each engine, precision and number of looks."""
    report_folder(out)
    from allweather.benchmark import bench as measure

    if frames < 1:
        raise UsageError(f"--frames is a number >= 1; got {frames}")
    with progress("bench", None) as update:

        def watch(done: int, total: int, name: str) -> None:
            update(done, f"bench: {name}")

        found = measure(
            bundle,
            frames=frames,
            looks=_numbers(looks),
            source=source,
            engine=engine.value if engine else None,
            precision=precision.value if precision else None,
            threads=threads,
            watch=watch,
        )
    if out:
        from allweather.reports.benchmark import write_bench

        write_bench(found, out)
    if as_json:
        result(plain(found), True, "bench")
        return
    if found.frames < frames:
        say(f"the source ended after {found.frames} of {frames} frames; a longer one tells more of the tails")
    cores = f"threads: {threads or 'all cores'}"
    say(f"{found.machine}; {cores}; power: {found.power}; {found.frames} frames, {found.source}")
    rows: list[tuple[str, ...]] = [("", "rank", "views", "infer", "rest", "p50", "p90", "p99", "age p99")]
    for run in found.runs:
        medians = {name: summary.p50 for name, summary in run.report.stages.items()}
        shown = [medians.pop(name) for name in ("rank", "views", "infer")]
        rest = sum(medians[name] for name in ("prepare", "plan", "vote"))
        age = run.report.frame_age
        tails = [run.decision.p50, run.decision.p90, run.decision.p99, age.p99 if age else 0.0]
        cells = [f"{1000 * seconds:.2f}" for seconds in (*shown, rest, *tails)]
        rows.append((f"{run.engine} {run.precision} k={run.looks}", *cells))
    table(rows)
    say("milliseconds: medians of the stages, then the whole decision; --out or --json for all stages")
    if out:
        say(f"wrote {out / 'report.html'}")


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and 1 <= int(part) <= 12 for part in parts):
        raise UsageError(f"--looks is a list of numbers from 1 to 12, such as 1,2,4; got {text!r}")
    return [int(part) for part in parts]
