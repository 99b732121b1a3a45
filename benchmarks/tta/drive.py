"""Measures the demo's drive over several seeds: errors of plain, robust and robust + TTA in each weather.

    python benchmarks/tta/drive.py FOLDER [--seeds 11 12 13]

Each seed is a demo of its own, with its own training and its own road, in FOLDER/SEED; one that was stopped goes on.
The severities of the weather and the schedules of the training were chosen with the roads of the seeds 0, 1 and 2, so
those are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from allweather.demo.demo import FULL, PLAIN, ROBUST, run_demo
from allweather.demo.settings import DemoSettings
from allweather.runtimes.markdown import markdown_table


def main() -> None:
    """Runs the demos that are not finished and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    args = parser.parse_args()
    summaries = [run_demo(args.folder / str(seed), DemoSettings(seed=seed), say=print) for seed in args.seeds]
    rows = [("signs misread, %", PLAIN, ROBUST, FULL)]
    for condition in summaries[0]["errors"][PLAIN]:
        cells = []
        for system in (PLAIN, ROBUST, FULL):
            errors = [100 * summary["errors"][system][condition]["error"] for summary in summaries]
            cells.append(f"{mean(errors):.1f}" + (f" ({stdev(errors):.1f})" if len(errors) > 1 else ""))
        rows.append((condition, *cells))
    print("\n".join(markdown_table(rows)))
    plain = mean(summary["errors"][PLAIN]["bad weather"]["error"] for summary in summaries)
    for system in (ROBUST, FULL):
        error = mean(summary["errors"][system]["bad weather"]["error"] for summary in summaries)
        print(f"{system}: {error / plain:.2f} times the error of plain")
    late, frames = (sum(summary[name] for summary in summaries) for name in ("late", "frames"))
    print(f"late: {late} of {frames} decisions; seconds: {[round(summary['seconds']) for summary in summaries]}")
    print(f"policies: {[summary['policy'] for summary in summaries]}, {[s['precision'] for s in summaries]}")


if __name__ == "__main__":
    main()
