"""How many decisions are late while another process loads a core: python benchmarks/late.py [BUNDLE] [--frames N]
[--threads N].

The budget is 1.5 times the median decision of one look, measured on the idle machine. Then frames of 640 x 480 come
as fast as they are decided on, with a process beside that never rests, and the policy wants four looks. Last, on the
idle machine, the mean number of looks beside the largest that the budget allows, at budgets for one to four. Without
BUNDLE it is a ResNet-50 at 224 px in INT8 that has learned nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from decision import make_bundle

from allweather import load
from allweather.runtimes.camera import camera_from
from allweather.runtimes.device import this_device
from allweather.runtimes.loop import run
from allweather.runtimes.tally import LoopReport
from allweather.runtimes.views import VIEWS

MOST = 4


def decided(bundle: Path, threads: int | None, policy: str, frames: int, budget: float | None) -> LoopReport:
    """A loop over so many frames."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(4)]
    limit = None if budget is None else 1000 * budget
    with load(bundle, policy=policy, budget_ms=limit, threads=threads) as perceiver:
        run(camera_from(islice(cycle(pictures), 50)), perceiver, [])
        return run(camera_from(islice(cycle(pictures), frames)), perceiver, [])


def median(bundle: Path, threads: int | None, policy: str) -> float:
    """Seconds of a decision on the idle machine."""
    report = decided(bundle, threads, policy, 300, None)
    assert report.decision_time
    return report.decision_time.p50


def spin() -> None:
    """Loads a core."""
    while True:
        pass


@contextmanager
def loaded_core() -> Iterator[None]:
    """While open, a process beside never rests."""
    process = multiprocessing.Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def show(name: str, report: LoopReport, budget: float) -> None:
    """One line."""
    times = report.decision_time
    assert times
    tails = " / ".join(f"{1000 * each:.2f}" for each in (times.p50, times.p90, times.p99, times.maximum))
    print(
        f"{name}: budget {1000 * budget:.2f} ms, {report.decided} decisions, "
        f"late {100 * report.late / report.decided:.3f} %, looks {report.mean_looks:.3f}, p50 / p90 / p99 / most {tails} ms",
        flush=True,
    )


def main(given: Sequence[str] | None = None) -> None:
    """Prints one line for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args(given)
    threads = arguments.threads
    with tempfile.TemporaryDirectory() as folder:
        bundle = arguments.bundle
        if bundle is None:
            bundle = Path(folder, "resnet50.aw")
            make_bundle(bundle)
        print(
            f"{this_device().line()}; {arguments.bundle or 'ResNet-50 INT8, 224 px'}, threads {threads or 'all'}",
            flush=True,
        )
        fixed = {count: "set:" + ",".join(list(VIEWS)[:count]) for count in range(1, MOST + 1)}
        costs = {count: median(bundle, threads, policy) for count, policy in fixed.items()}
        print("medians, ms: " + ", ".join(f"{count}: {1000 * cost:.2f}" for count, cost in costs.items()), flush=True)
        budget = 1.5 * costs[1]
        show("idle", decided(bundle, threads, fixed[MOST], arguments.frames // 20, budget), budget)
        with loaded_core():
            show("one core loaded", decided(bundle, threads, fixed[MOST], arguments.frames, budget), budget)
        for count in range(1, MOST + 1):
            budget = 1.1 * costs[count]
            best = max(each for each, cost in costs.items() if cost <= budget)
            report = decided(bundle, threads, fixed[MOST], 1000, budget)
            show(f"idle, {best} looks fit, ratio {report.mean_looks / best:.3f}", report, budget)


if __name__ == "__main__":
    main()
