"""How many decisions are late while another process loads a core.

    python benchmarks/runtimes/late_decisions.py [BUNDLE] [--frames N] [--threads N] [--calls N]

The budget is 1.5 times the median decision of one look, measured on the idle machine. Then frames of 640 x 480 come
as fast as they are decided on, with a process beside that never rests, and the policy wants four looks. Between two
frames the engine is called without the loop, which shows how many calls are too long by themselves. Last, on the idle
machine, the mean number of looks beside the most that the budget allows: those whose decisions, run without a
budget, end inside it 99 times in 100. Without BUNDLE it is a ResNet-50 at 224 px in INT8 that has learned nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from untrained_bundle import untrained_bundle

from allweather import load
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.loop.latency import LatencySummary
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Image

MOST = 4
PICTURES = list(np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), dtype=np.uint8))


def decided(
    bundle: Path,
    threads: int | None,
    looks: int,
    frames: int,
    budget: float | None,
    pictures: Iterator[Image] | None = None,
) -> LoopReport:
    """A loop over so many frames, that wants so many looks."""
    limit = None if budget is None else 1000 * budget
    policy = "set:" + ",".join(list(VIEWS)[:looks])
    with load(bundle, policy=policy, budget_ms=limit, threads=threads) as perceiver:
        run(camera_from(islice(cycle(PICTURES), 50)), perceiver, [])
        return run(camera_from(islice(pictures or cycle(PICTURES), frames)), perceiver, [])


def alone(bundle: Path, threads: int | None, looks: int, calls: int) -> LatencySummary:
    """Decisions on the idle machine without a budget."""
    times = decided(bundle, threads, looks, calls, None).decision_time
    assert times
    print(f"{looks} looks: p50 {1000 * times.p50:.2f} ms, p99 {1000 * times.p99:.2f} ms", flush=True)
    return times


def between_calls(bundle: Path, threads: int | None, seconds: list[float]) -> Iterator[Image]:
    """Pictures without end; before each, one bare call of the engine is timed."""
    spec = Bundle.open(bundle).input
    engine, _ = open_engine(Bundle.open(bundle), threads=threads)
    for picture in cycle(PICTURES):
        taken = spec.prepare(picture)[None]
        began = time.perf_counter()
        engine.infer(taken)
        seconds.append(time.perf_counter() - began)
        yield picture


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
    late = 100 * report.late / report.decided
    print(f"{name}: budget {1000 * budget:.2f} ms, {report.decided} decisions, late {late:.3f} %", end="")
    print(f", looks {report.mean_views:.3f}, p50 / p90 / p99 / most {tails} ms", flush=True)


def main() -> None:
    """Prints one line for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--calls", type=int, default=300, help="decisions on the idle machine")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle
        if bundle is None:
            bundle = Path(folder, "resnet50.aw")
            untrained_bundle(bundle)
        what = given.bundle or "ResNet-50 INT8, 224 px"
        print(f"{this_device().line()}; {what}, threads {given.threads or 'all'}", flush=True)
        times = {count: alone(bundle, given.threads, count, given.calls) for count in range(1, MOST + 1)}
        budget = 1.5 * times[1].p50
        show("idle", decided(bundle, given.threads, MOST, given.calls, budget), budget)
        with loaded_core():
            bare: list[float] = []
            pictures = between_calls(bundle, given.threads, bare)
            loaded = decided(bundle, given.threads, MOST, given.frames, budget, pictures)
            show("one core loaded", loaded, budget)
            late = 100 * np.mean(np.array(bare) > 1.5 * np.median(bare))
            print(f"bare calls between them: {late:.3f} % longer than 1.5 times their median", flush=True)
        for count in range(1, MOST + 1):
            budget = 1.02 * times[count].p99
            best = max(each for each, summary in times.items() if summary.p99 <= budget)
            report = decided(bundle, given.threads, MOST, 3 * given.calls, budget)
            show(f"idle, {best} looks fit, {report.mean_views / best:.3f} of them run", report, budget)


if __name__ == "__main__":
    main()
