"""The page of a bench."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from allweather.benchmark import Benchmark, Run
from allweather.reports import plots as pictures
from allweather.reports.html import Section, markdown, page, write

NOTE = (
    "Medians of the stages in milliseconds. A frame's age runs from its capture to the decision; sinks come after. The "
    "numbers of looks are what a policy asks for; with a budget the planner takes as many of them as fit."
)


def write_bench(found: Benchmark, folder: Path) -> None:
    """Writes report.html, report.md, result.json and stages.png.

    Raises:
        OutputError: the place cannot be written to.
    """
    rows = bench_table(found)
    cores = f"threads: {found.threads or 'all cores'}"
    lead = f"{found.frames} frames, {found.source}; {found.machine}; {cores}; power: {found.power}"
    picture = pictures.stages(
        [_name(run) for run in found.runs],
        [{stage: 1000 * spread.p50 for stage, spread in run.report.stages.items()} for run in found.runs],
        [(1000 * run.decision.p90, 1000 * run.decision.p99) for run in found.runs],
    )
    title = f"{Path(found.bundle).name}: how fast"
    sections = [Section("Stages and tails", NOTE, rows), Section("Where the time goes", picture="stages.png")]
    write(
        folder,
        {
            "stages.png": picture,
            "result.json": json.dumps(asdict(found), indent=1),
            "report.md": "\n".join([f"# {title}", "", lead, "", NOTE, "", *markdown(rows), ""]),
            "report.html": page(title, lead, sections),
        },
    )


def bench_table(found: Benchmark) -> list[tuple[str, ...]]:
    """One row a run."""
    stages = list(found.runs[0].report.stages)
    rows: list[tuple[str, ...]] = [
        ("run", *stages, "decision p50", "p90", "p99", "age p50", "p90", "p99", "decisions a second")
    ]
    for run in found.runs:
        age = run.report.frame_age
        assert age is not None
        tails = [run.decision.p50, run.decision.p90, run.decision.p99, age.p50, age.p90, age.p99]
        medians = [run.report.stages[stage].p50 for stage in stages]
        times = [f"{1000 * seconds:.2f}" for seconds in (*medians, *tails)]
        rows.append((_name(run), *times, f"{run.report.decisions_per_second:.1f}"))
    return rows


def _name(run: Run) -> str:
    return f"{run.engine} {run.precision} k={run.looks}"
