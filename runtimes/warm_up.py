"""The warm-up of a perceiver: every batch size that its planner may choose is compiled and timed before frames come."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.perceiver import LossPredictor
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline

CALLS = 5  # timed for each size, after one that compiles it
LONGEST = 0.2  # seconds for the timed calls of one size; one call is always timed


def measure_view_latency(
    engine: Engine,
    spec: InputSpec,
    policy: Policy,
    counts: Iterable[int],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> LatencyModel:
    """What running views costs here.

    Args:
        engine: of the classifier.
        spec: what it takes.
        policy: whose views are run.
        counts: the numbers of views to time.
        clock: seconds.

    Raises:
        EngineError: the engine failed.
    """
    image = np.full((spec.height, spec.width, 3), 128, np.uint8)
    names, _ = policy.views_for(range(policy.num_views) if policy.pick != "draw" else [0] * policy.num_views)

    def run(count: int) -> object:
        steps = steps_without_deadline(count, 1.0)
        return run_views(engine.infer, image, names[:count], (1.0,) * count, 1.0, steps, clock)

    return LatencyModel({count: _median(partial(run, count), clock) for count in counts})


def measure_predictor_latency(
    loss_predictor: LossPredictor, *, clock: Callable[[], float] = time.monotonic
) -> LatencyModel:
    """What predicting the losses of one frame's views costs here.

    Args:
        ranker: open.
        clock: seconds.

    Raises:
        EngineError: the engine failed.
    """
    image = np.full((1, loss_predictor.spec.height, loss_predictor.spec.width, 3), 128, np.uint8)
    return LatencyModel({1: _median(lambda: loss_predictor.engine.infer(image), clock)})


def _median(call: Callable[[], object], clock: Callable[[], float]) -> float:
    call()
    times: list[float] = []
    while not times or (len(times) < CALLS and sum(times) < LONGEST):
        began = clock()
        call()
        times.append(clock() - began)
    return statistics.median(times)
