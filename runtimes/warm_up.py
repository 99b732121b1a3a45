"""The warm-up of a perceiver: every batch size that its planner may choose is compiled and timed before frames come."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.perceiver import Ranker
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.latency_model import CostCurve
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.run_views import look, unhurried

CALLS = 5  # timed for each size, after one that compiles it
LONGEST = 0.2  # seconds for the timed calls of one size; one call is always timed


def cost_of_looks(
    engine: Engine,
    spec: InputSpec,
    policy: Policy,
    counts: Iterable[int],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> CostCurve:
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
    names, _ = policy.run(range(policy.count) if policy.pick != "draw" else [0] * policy.count)

    def run(count: int) -> object:
        steps = unhurried(count, 1.0)
        return look(engine.run, image, names[:count], (1.0,) * count, 1.0, steps, clock)

    return CostCurve({count: _median(partial(run, count), clock) for count in counts})


def cost_of_ranking(ranker: Ranker, *, clock: Callable[[], float] = time.monotonic) -> CostCurve:
    """What predicting the losses of one frame's views costs here.

    Args:
        ranker: open.
        clock: seconds.

    Raises:
        EngineError: the engine failed.
    """
    image = np.full((1, ranker.spec.height, ranker.spec.width, 3), 128, np.uint8)
    return CostCurve({1: _median(lambda: ranker.engine.run(image), clock)})


def _median(call: Callable[[], object], clock: Callable[[], float]) -> float:
    call()
    times: list[float] = []
    while not times or (len(times) < CALLS and sum(times) < LONGEST):
        began = clock()
        call()
        times.append(clock() - began)
    return statistics.median(times)
