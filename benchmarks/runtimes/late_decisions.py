"""Counts the decisions that are late while another process keeps a CPU core busy.

    python benchmarks/runtimes/late_decisions.py [BUNDLE] [--frames N] [--threads N] [--calls N] [--realtime]

The budget is 1.5 times the median time of a decision with one view, measured on the idle machine. Then frames of
640 x 480 come as fast as they are decided on, while another process keeps a core busy; the policy asks for four views.
Before each frame the engine is called once without the loop, which shows how many calls are too long by themselves.
Last, on the idle machine and with budgets of 1.5, 2.5, 3.5 and 4.5 times one view, the mean number of views is compared
with the best fixed number: the largest whose decisions, made without a budget in turn with those of the loop, take
longer than the budget no more often than the loop is late, or once in a thousand. Without BUNDLE, the model is an
untrained ResNet-50 at 224 px in INT8.

With --realtime, the measurement beside a busy core is made a second time with `allweather.realtime()`: loop and single
calls then run before other programs.
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

from allweather import load, realtime
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.load import load_several
from allweather.runtimes.loop.latency import LatencySummary
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Decision, Image

MAX_VIEWS = 4
FRAMES = list(np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), dtype=np.uint8))


def run_loop(
    bundle: Path,
    threads: int | None,
    views: int,
    frames: int,
    budget: float | None,
    images: Iterator[Image] | None = None,
) -> LoopReport:
    """Runs the camera loop, after a few frames that do not count, and returns its report.

    Args:
        bundle: Path of the bundle.
        threads: Number of CPU threads; None for all cores.
        views: Number of views that the policy asks for.
        frames: Number of frames.
        budget: Seconds for each decision; None for no deadline.
        images: The frames; None for the same few random ones again and again.
    """
    limit = None if budget is None else 1000 * budget
    policy = "set:" + ",".join(list(VIEWS)[:views])
    with load(bundle, policy=policy, budget_ms=limit, threads=threads) as perceiver:
        run(camera_from(islice(cycle(FRAMES), 50)), perceiver, [])
        return run(camera_from(islice(images or cycle(FRAMES), frames)), perceiver, [])


def measure_idle(bundle: Path, threads: int | None, views: int, calls: int) -> LatencySummary:
    """Returns how long decisions without a budget take on the idle machine."""
    times = run_loop(bundle, threads, views, calls, None).decision_time
    assert times
    print(f"{views} views: p50 {1000 * times.p50:.2f} ms, p99 {1000 * times.p99:.2f} ms", flush=True)
    return times


def frames_between_calls(bundle: Path, threads: int | None, seconds: list[float]) -> Iterator[Image]:
    """Yields frames without end. Before each, it times one call of the engine and appends it to `seconds`."""
    spec = Bundle.open(bundle).input
    engine, _ = open_engine(Bundle.open(bundle), threads=threads)
    for frame in cycle(FRAMES):
        image = spec.prepare(frame)[None]
        started = time.perf_counter()
        engine.infer(image)
        seconds.append(time.perf_counter() - started)
        yield frame


def spin() -> None:
    """Keeps a core busy."""
    while True:
        pass


@contextmanager
def loaded_core() -> Iterator[None]:
    """Runs a process that keeps a core busy, while the `with` block lasts."""
    process = multiprocessing.Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def print_report(name: str, report: LoopReport, budget: float) -> None:
    """Prints the late decisions, the views and the latencies of a report in one line."""
    times = report.decision_time
    assert times
    tails = " / ".join(f"{1000 * each:.2f}" for each in (times.p50, times.p90, times.p99, times.maximum))
    late = 100 * report.late / report.decided
    print(f"{name}: budget {1000 * budget:.2f} ms, {report.decided} decisions, late {late:.3f} %", end="")
    print(f", views {report.mean_views:.3f}, p50 / p90 / p99 / maximum {tails} ms", flush=True)


def measure_loaded(name: str, bundle: Path, arguments: argparse.Namespace, budget: float) -> None:
    """Prints how many decisions are late, and how many single calls between them take too long."""
    call_seconds: list[float] = []
    images = frames_between_calls(bundle, arguments.threads, call_seconds)
    loaded = run_loop(bundle, arguments.threads, MAX_VIEWS, arguments.frames, budget, images)
    print_report(name, loaded, budget)
    seconds = np.array(call_seconds)
    late = 100 * np.mean(seconds > 1.5 * np.median(seconds))
    longer = 100 * np.mean(seconds > budget)
    print(
        f"engine calls between the frames: {late:.3f} % take longer than 1.5 times their median, {longer:.3f} % longer "
        "than the budget",
        flush=True,
    )


def measure_views(bundle: Path, threads: int | None, decisions: int, budget: float) -> None:
    """Prints how many views are run within a budget, beside the best fixed number of views."""
    names = list(VIEWS)[:MAX_VIEWS]
    counts = range(1, MAX_VIEWS + 1)
    uses = [(1000 * budget, f"set:{','.join(names)}"), *((None, f"set:{','.join(names[:count])}") for count in counts)]
    made: list[list[Decision]] = [[] for _ in uses]
    rng = np.random.default_rng(0)
    perceivers = load_several(bundle, uses, threads=threads)
    with perceivers[0]:
        for index in range(decisions):
            for use in rng.permutation(len(uses)):
                made[use].append(perceivers[use](FRAMES[index % len(FRAMES)]))
    late, *shares = (np.mean([each.age > budget for each in each_use]) for each_use in made)
    allowed = max(late, 0.001)
    best = max((count for count, share in zip(counts, shares, strict=True) if share <= allowed), default=1)
    views = np.mean([len(each.views) for each in made[0]])
    shown = ", ".join(f"{count}: {100 * share:.2f} %" for count, share in zip(counts, shares, strict=True))
    print(
        f"idle: budget {1000 * budget:.2f} ms, {decisions} decisions, late {100 * late:.2f} %, views {views:.3f}, "
        f"{views / best:.3f} of the best fixed number, {best} (too long: {shown})",
        flush=True,
    )


def main() -> None:
    """Prints one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--calls", type=int, default=300, help="number of decisions on the idle machine")
    parser.add_argument("--realtime", action="store_true", help="measure with and without real-time priority")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = arguments.bundle
        if bundle is None:
            bundle = Path(folder, "resnet50.aw")
            untrained_bundle(bundle)
        model = arguments.bundle or "ResNet-50 INT8, 224 px"
        print(f"{this_device().line()}; {model}, threads {arguments.threads or 'all'}", flush=True)
        times = {
            count: measure_idle(bundle, arguments.threads, count, arguments.calls) for count in range(1, MAX_VIEWS + 1)
        }
        budget = 1.5 * times[1].p50
        print_report("idle", run_loop(bundle, arguments.threads, MAX_VIEWS, arguments.calls, budget), budget)
        with loaded_core():
            measure_loaded("one core loaded", bundle, arguments, budget)
            if arguments.realtime:
                with realtime():
                    measure_loaded("the same, in real time", bundle, arguments, budget)
        for count in range(1, MAX_VIEWS + 1):
            measure_views(bundle, arguments.threads, 3 * arguments.calls, (count + 0.5) * times[1].p50)


if __name__ == "__main__":
    main()
