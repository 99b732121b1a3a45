"""allweather bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_report_folder
from allweather.cli.command_line import origin_of
from allweather.cli.console import handle_errors, print_result, print_table, progress_bar, say, to_json
from allweather.cli.options import AsJson, BundleFile, Threads
from allweather.runtimes.choices import Precision
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.limits import usable_cores

if TYPE_CHECKING:
    from allweather.benchmark import Benchmark

MAX_VIEWS = 12
LEGEND = (
    "milliseconds. k: views of each frame; center: one, without the loss predictor; +large: then the large classifier. "
    "Medians of rank: predicting the losses of the views; views: making them; infer: running the model; rest: "
    "preparing the image, planning and averaging. p50, p90, p99: the whole decision; age: from the capture of a frame "
    "to its decision. --out or --json gives all stages"
)


@handle_errors
def bench(
    context: typer.Context,
    bundle: BundleFile,
    source: Annotated[
        str | None,
        typer.Option(help="Video file or folder of images; random frames of 640 x 480 pixels if not given."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Number of decisions in each run.")] = 200,
    max_views: Annotated[
        str, typer.Option(help="Numbers of views per frame to run, separated by commas; a run for each.")
    ] = "1,2,4",
    engine: Annotated[
        str | None, typer.Option(help="Engine to run on (allweather doctor lists all); every one here if not given.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Precision to run in; all that the bundle has if not given.")
    ] = None,
    threads: Threads = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write report.html, result.json and the plot into.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measures how fast a bundle is on this device.

    There is a run for each engine, precision and number of views, one without the loss predictor, and one of a large
    classifier after one view.
    """
    check_report_folder(out)
    from allweather.benchmark import run_benchmark

    if frames < 1:
        raise UsageError(f"--frames is a number of decisions, at least 1; got {frames}")
    views_per_frame = _parse_views(max_views)
    if out:
        from allweather.reports.benchmark import write_benchmark_report  # before the work, as matplotlib may be missing
    if threads is not None and threads > (cores := usable_cores()):
        raise UsageError(f"--threads is at most the number of cores that may be used here, {cores}; got {threads}")
    with progress_bar("bench") as update:
        benchmark = run_benchmark(
            bundle, frames=frames, num_views=views_per_frame, source=source, engine=engine, precision=precision,
            threads=threads, watch=lambda done, total, name: update(done, f"bench: {name}", total),
        )  # fmt: skip
    if out:
        write_benchmark_report(benchmark, out, origin_of(context))
    if as_json:
        print_result(to_json(benchmark), True, "bench")
        return
    if benchmark.frames < frames:
        say(f"the source ended after {benchmark.frames} of {frames} frames; a longer one gives better p90 and p99")
    _print_benchmark(benchmark)
    if out:
        say(f"wrote {out / 'report.html'}")


def _print_benchmark(benchmark: Benchmark) -> None:
    """Prints the median of each stage and the quantiles of the whole decision, in milliseconds."""
    threads = f"threads: {benchmark.threads or 'all cores'}"
    frames = f"{benchmark.frames} frames, {benchmark.source}"
    say(f"{benchmark.machine}; {threads}; power: {benchmark.power}; {frames}")
    rows: list[tuple[str, ...]] = [("", "rank", "views", "infer", "rest", "p50", "p90", "p99", "age p99")]
    for run in benchmark.runs:
        medians = {name: summary.p50 for name, summary in run.report.stages.items()}
        stages = [medians[name] for name in ("rank", "views", "infer")]
        rest = sum(medians[name] for name in ("prepare", "plan", "aggregate"))
        age = run.report.frame_age
        quantiles = [run.decision.p50, run.decision.p90, run.decision.p99, age.p99 if age else 0.0]
        cells = [f"{1000 * seconds:.2f}" for seconds in (*stages, rest, *quantiles)]
        rows.append((run.name, *cells))
    print_table(rows)
    say(LEGEND)


def _parse_views(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part in map(str, range(1, MAX_VIEWS + 1)) for part in parts):
        raise UsageError(
            f"--max-views is numbers from 1 to {MAX_VIEWS} separated by commas, such as 1,2,4; got {text!r}"
        )
    return [int(part) for part in parts]
