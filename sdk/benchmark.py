"""Measures how fast a bundle is on this device: every engine, precision and number of views, stage by stage.

A bundle's large classifier is measured, too: after one view of the small one, as in a doubtful frame of a cascade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle, ReplacedError
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.registry import engine_spec, statuses
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.loop.latency import LatencySummary
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.redaction import redacted
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.system.device import power_mode, this_device
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.policy import FLIP
from allweather.runtimes.tta.views import VIEWS

CENTER = "center"  # the policy of one view, for which no losses are predicted
WARM_UP_DECISIONS = 10  # not measured, at the start of each run
HEIGHT, WIDTH = 480, 640  # pixels, of the random frames that are used without a source
NUM_RANDOM_FRAMES = 4  # repeated over and over


@dataclass(frozen=True)
class Run:
    """Result of one engine in one precision with one number of views, or with a view and the large classifier.

    Attributes:
        engine: Name of the engine, such as "openvino".
        precision: Precision of the classifier, such as "int8".
        policy: The policy that was followed.
        num_views: Number of views that the classifier runs on each frame.
        report: Statistics of its loop: stages, decision time, frame age.
    """

    engine: str
    precision: str
    policy: str
    num_views: int
    report: LoopReport

    @property
    def name(self) -> str:
        """Its name in tables and plots: "openvino int8 k=2", "openvino int8 k=1+large" or "openvino int8 center"."""
        views = CENTER if self.policy == CENTER else f"k={self.num_views}{'+large' * self.policy.endswith('+large')}"
        return f"{self.engine} {self.precision} {views}"

    @property
    def decision(self) -> LatencySummary:
        """How long the decisions took."""
        assert self.report.decision_time is not None
        return self.report.decision_time


@dataclass(frozen=True)
class Benchmark:
    """Results of all runs, and the conditions that they were measured under.

    Attributes:
        bundle: Path of the bundle.
        frames: Number of decisions in each run; fewer than requested if the source ended before.
        source: Where the frames came from, without passwords.
        machine: Processor, cores and instruction sets of the machine.
        threads: Number of CPU threads that the engines were given; None for all cores.
        power: What governs the CPU's clock frequency; "unknown" if the system does not say.
        runs: One for each engine, precision and number of views; if the bundle has a loss predictor, one for each
            engine and precision without it; and one for each that has the large classifier run after one view.
    """

    bundle: str
    frames: int
    source: str
    machine: str
    threads: int | None
    power: str
    runs: tuple[Run, ...]


def run_benchmark(
    path: Path | str,
    *,
    frames: int,
    num_views: Sequence[int],
    source: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    watch: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Benchmark:
    """Runs the camera loop on the same frames with each model of a bundle that runs on this device.

    With a loss predictor, the k views with the lowest predicted losses are run, and the time includes the prediction;
    one more run, of policy "center", goes without it. Without a predictor they are the first k views. Where the bundle
    has a large classifier for the engine, one more run has it run after one view of every frame: what a doubtful frame
    of a cascade takes.

    Args:
        path: The bundle.
        frames: Number of decisions in each run, at least 1.
        num_views: Numbers of views to run on each frame; a run for each.
        source: A video file or folder of images, which each run reads from its start; random frames of 640 x 480
            pixels if None.
        engine: The only engine to run; all if None.
        precision: The only precision to run in; all if None.
        threads: Number of CPU threads for the engines; all cores if None.
        watch: Called with (runs done, runs in total, name of the current run).

    Raises:
        BundleError: The bundle cannot be read.
        ReplacedError: It was replaced by another one meanwhile.
        CameraError: The source gives no frames.
        EngineError: No model of the bundle has this engine and precision, or none runs on this device.
        UsageError: The source is a camera or stream.
    """
    path = as_path(path)
    bundle = Bundle.open(path)
    available = {status.name for status in statuses() if status.version}
    models = [
        (engine or model.engine, model.precision)
        for model in bundle.manifest.models
        if model.role == "classifier"
        and (engine is None or engine_spec(engine).runs == model.engine)
        and precision in (None, model.precision)
        and (model.engine in available or engine)
    ]
    if not models:  # raises an error that says which models there are and what is missing
        open_engine(bundle, engine, precision)
    plans = [
        (*model, count, policy)
        for model in models
        for count, policy in (*_policies(bundle, num_views), *_large_policies(bundle, model[0]))
    ]
    source_name, runs = redacted(source) if source else f"random images of {WIDTH} x {HEIGHT} pixels", []
    for index, (engine_name, model_precision, count, policy) in enumerate(plans):
        watch(index, len(plans), f"{engine_name} {model_precision}, {policy}")
        _check_not_replaced(bundle)
        with load(path, engine=engine_name, precision=model_precision, policy=policy, threads=threads) as perceiver:
            _check_not_replaced(bundle)
            with _open_source(source) as camera:
                run(camera, perceiver, [], limit=WARM_UP_DECISIONS)
            with _open_source(source) as camera:
                report = run(camera, perceiver, [CallbackSink(lambda frame, decisions: None)], limit=frames)
        if not report.decided:
            raise CameraError(f"{source_name} gives no frames; name another source")
        runs.append(Run(engine_name, model_precision, policy, count, report))
    watch(len(plans), len(plans), "done")
    decided = min(run.report.decided for run in runs)
    return Benchmark(str(path), decided, source_name, this_device().line(), threads, power_mode(), tuple(runs))


def _check_not_replaced(bundle: Bundle) -> None:
    """Checks that the bundle of the first run is still there, as all rows are of one bundle.

    Raises:
        ReplacedError: There is another one at its path.
    """
    if Bundle.open(bundle.path).manifest != bundle.manifest:
        raise ReplacedError(f"{bundle.path} was replaced meanwhile, and all rows are of one bundle; start again")


def _policies(bundle: Bundle, num_views: Sequence[int]) -> list[tuple[int, str]]:
    """Returns a policy for each number of views, with that number; with a loss predictor first the one without it."""
    without_predictor = [(1, CENTER)] if bundle.manifest.predictor is not None else []
    return [*without_predictor, *((count, _policy(bundle, count)) for count in num_views)]


def _policy(bundle: Bundle, count: int) -> str:
    """Returns the policy that runs `count` views of a frame: those that the loss predictor prefers, or the first."""
    if bundle.manifest.predictor is not None:
        return f"top:{count}"
    return "set:" + ",".join((*VIEWS, FLIP)[:count])


def _large_policies(bundle: Bundle, engine: str) -> list[tuple[int, str]]:
    """Returns the policy of one view and then the large classifier, if the bundle has one that this engine runs."""
    runs = engine_spec(engine).runs
    has_large = any((model.role, model.engine) == ("large", runs) for model in bundle.manifest.models)
    return [(1, f"{_policy(bundle, 1)}+large")] if has_large else []


def _open_source(source: str | None) -> Camera:
    if source is not None:
        camera = open_camera(source)
        if camera.live:
            raise UsageError(
                f"bench measures on a video file or a folder of images, which each run reads from its start; "
                f"{camera.name} is a camera or stream: use allweather run --json"
            )
        return camera
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(NUM_RANDOM_FRAMES)]
    return camera_from(cycle(images))
