"""How fast a bundle is on this device: every engine, precision and number of looks, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.cameras.open import camera_from, open_camera, redacted
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.registry import engine_spec, statuses
from allweather.runtimes.errors import CameraError
from allweather.runtimes.load import load
from allweather.runtimes.loop.latency import LatencySummary
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.system.device import power_mode, this_device
from allweather.runtimes.tta.policy import FLIP
from allweather.runtimes.tta.views import VIEWS

WARM = 10  # decisions before the clock counts
HEIGHT, WIDTH = 480, 640  # of frames made up where there is no source


@dataclass(frozen=True)
class Run:
    """One engine at one number of looks.

    Attributes:
        engine: such as "openvino".
        precision: such as "int8".
        policy: that was followed.
        looks: views a frame.
        report: of its loop: stages, decision time, frame age.
    """

    engine: str
    precision: str
    policy: str
    looks: int
    report: LoopReport

    @property
    def decision(self) -> LatencySummary:
        """How long decisions took."""
        assert self.report.decision_time is not None
        return self.report.decision_time


@dataclass(frozen=True)
class Benchmark:
    """All runs, and where they ran.

    Attributes:
        bundle: path of the bundle.
        frames: decisions of each run, fewer than were asked for where the source ended before.
        source: what gave the frames; no passwords.
        machine: processor, cores, instructions.
        threads: of the processor that the engines were given; None for all cores.
        power: how the processor's clock is governed; "unknown" where the system does not tell.
        runs: one an engine, precision and number of looks.
    """

    bundle: str
    frames: int
    source: str
    machine: str
    threads: int | None
    power: str
    runs: tuple[Run, ...]


def bench(
    path: Path,
    *,
    frames: int,
    looks: Sequence[int],
    source: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    watch: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Benchmark:
    """Runs the loop on the same frames with each model of a bundle that runs here.

    With a loss predictor, k looks are the k best by prediction, and the ranking is in the time; else the first k views.

    Args:
        path: the bundle.
        frames: decisions of each run, >= 1.
        looks: numbers of views a frame.
        source: a video file or folder, read anew for each run; frames of 640 x 480 are made up without one.
        engine: only this one.
        precision: only this one.
        threads: of the processor; None for all cores.
        watch: told of (runs done, runs in all, the run's name).

    Raises:
        BundleError: the bundle cannot be read.
        CameraError: the source holds no frame.
        EngineError: no model fits.
    """
    bundle = Bundle.open(path)
    predicts = bundle.manifest.predictor is not None
    here = {status.name for status in statuses() if status.version}
    models = [
        (engine or model.engine, model.precision)
        for model in bundle.manifest.models
        if model.role == "classifier"
        and (engine is None or engine_spec(engine).runs == model.engine)
        and precision in (None, model.precision)
        and (model.engine in here or engine)
    ]
    if not models:  # says what there is and what is missing
        open_engine(bundle, engine, precision)
    plans = [(*model, count) for model in models for count in looks]
    shown, runs = redacted(source) if source else f"made up, {WIDTH} x {HEIGHT}", []
    for number, (name, kind, count) in enumerate(plans):
        watch(number, len(plans), f"{name} {kind}, {count} looks")
        policy = f"top:{count}" if predicts else "set:" + ",".join((*VIEWS, FLIP)[:count])
        with load(path, engine=name, precision=kind, policy=policy, threads=threads) as perceiver:
            with _camera(source) as camera:
                run(camera, perceiver, [], limit=WARM)
            with _camera(source) as camera:
                report = run(camera, perceiver, [CallbackSink(lambda frame, decision: None)], limit=frames)
        if not report.decided:
            raise CameraError(f"{shown} gives no frames; name another source")
        runs.append(Run(name, kind, policy, count, report))
    watch(len(plans), len(plans), "done")
    decided = min(run.report.decided for run in runs)
    return Benchmark(str(path), decided, shown, this_device().line(), threads, power_mode(), tuple(runs))


def _camera(source: str | None) -> Camera:
    if source is not None:
        return open_camera(source)
    rng = np.random.default_rng(0)
    return camera_from(cycle([rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(4)]))
