"""The report of a benchmark: the time of each stage of a decision on this device."""

from __future__ import annotations

import json
from pathlib import Path

from allweather.benchmark import Benchmark
from allweather.reports import plots
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, origin_section, reading_section, section_in_markdown
from allweather.runtimes.markdown import markdown_page, markdown_table
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json

NOTE = (
    "Medians of the stages and quantiles of the whole decision, in milliseconds. The age of a frame is the time from "
    "its capture to the decision; sinks come after that. k is the number of views that the policy asks for; with a "
    "budget, the planner runs as many of them as there is time for. k=1+large is one view and then the large "
    "classifier, on every frame; center is one view without the loss predictor. No intervals are shown: to see how "
    "much the times differ from run to run, run the command again."
)
ITEMS = (
    (
        "Median time of each stage",
        "Each bar is one run, its parts the medians of the stages; the marks are the 90th and 99th percentile of the "
        "whole decision.",
    ),
)


def write_benchmark_report(benchmark: Benchmark, folder: Path | str, origin: Origin | None = None) -> None:
    """Writes report.html, report.md, result.json and stages.png.

    Args:
        benchmark: The result to report.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    rows = latency_table(benchmark)
    threads = f"threads: {benchmark.threads or 'all cores'}"
    frames = f"{benchmark.frames} frames, {benchmark.source}"
    lead = f"{frames}; {benchmark.machine}; {threads}; power: {benchmark.power}"
    title = f"Benchmark of {Path(benchmark.bundle).name}"
    reading, made = reading_section(NOTE, ITEMS), origin_section(origin)
    sections = [
        Section("Latency", table=rows),
        reading,
        Section("Median time of each stage", image="stages.png"),
        made,
    ]
    texts = map(section_in_markdown, (reading, made))
    write_files(
        folder,
        {
            "stages.png": plots.stage_bars(
                [run.name for run in benchmark.runs],
                [{stage: 1000 * times.p50 for stage, times in run.report.stages.items()} for run in benchmark.runs],
                [(1000 * run.decision.p90, 1000 * run.decision.p99) for run in benchmark.runs],
            ),
            "result.json": json.dumps(to_json(benchmark), indent=1),
            "report.md": markdown_page(title, lead, markdown_table(rows), *texts),
            "report.html": page(title, lead, sections),
        },
    )


def latency_table(benchmark: Benchmark) -> list[tuple[str, ...]]:
    """Returns a table in milliseconds with a row for each run."""
    stages = list(benchmark.runs[0].report.stages)
    rows: list[tuple[str, ...]] = [
        ("run", *stages, "decision p50", "p90", "p99", "age p50", "p90", "p99", "decisions per second")
    ]
    for run in benchmark.runs:
        age = run.report.frame_age
        assert age is not None
        tails = [run.decision.p50, run.decision.p90, run.decision.p99, age.p50, age.p90, age.p99]
        medians = [run.report.stages[stage].p50 for stage in stages]
        times = [f"{1000 * seconds:.2f}" for seconds in (*medians, *tails)]
        rows.append((run.name, *times, f"{run.report.decisions_per_second:.1f}"))
    return rows
