"""The warm-up of a perceiver: it runs and times each batch size that the planner may choose, before the first frame."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.perceiver import LargeClassifier, LossPredictor
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import BATCH_SIZES
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Image

TIMED_CALLS = 5  # for each batch size, after one call that compiles it
MAX_TIMED_SECONDS = 0.2  # for the timed calls of one batch size; one call is always timed


def measure_view_latency(
    engine: Engine,
    spec: InputSpec,
    policy: Policy,
    counts: Iterable[int],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> LatencyModel:
    """Measures how long running views takes on this device.

    Args:
        engine: Engine of the classifier.
        spec: The classifier's input.
        policy: The policy whose views are run.
        counts: The numbers of views to time; where they are more than the policy has, views are repeated.
        clock: Function that returns the time in seconds.

    Raises:
        EngineError: The engine failed.
    """
    image = _gray_image(spec)
    policy = replace(policy, early_exit_threshold=1.0)  # each batch is timed as a whole
    names, _ = policy.views_for(range(policy.num_views) if policy.pick != "draw" else [0] * policy.num_views)

    def run(count: int) -> object:
        steps = steps_without_deadline(count, policy)
        repeated = tuple(islice(cycle(names), count))
        return run_views(engine.infer, image, repeated, (1.0,) * count, policy, steps, clock)

    return LatencyModel({count: median_seconds(partial(run, count), clock) for count in counts})


def measured_large_classifier(
    engine: Engine, spec: InputSpec, max_boxes: int = 1, *, clock: Callable[[], float] = time.monotonic
) -> LargeClassifier:
    """Returns a large classifier, with the time that it takes on this device for a view, or for those of several boxes.

    Args:
        engine: Engine of the large classifier.
        spec: The input of both classifiers.
        max_boxes: Largest number of boxes.
        clock: Function that returns the time in seconds.

    Raises:
        EngineError: The engine failed.
    """
    return LargeClassifier(engine, _latency_of_batches(engine, spec, max_boxes, clock))


def measure_predictor_latency(
    loss_predictor: LossPredictor, max_boxes: int = 1, *, clock: Callable[[], float] = time.monotonic
) -> LatencyModel:
    """Measures how long predicting the losses of the views takes on this device, of a frame or of its boxes.

    Args:
        loss_predictor: An open loss predictor.
        max_boxes: Largest number of boxes.
        clock: Function that returns the time in seconds.

    Raises:
        EngineError: The engine failed.
    """
    return _latency_of_batches(loss_predictor.engine, loss_predictor.spec, max_boxes, clock)


def _latency_of_batches(engine: Engine, spec: InputSpec, max_boxes: int, clock: Callable[[], float]) -> LatencyModel:
    image = _gray_image(spec)[None]

    def run(count: int) -> object:
        return engine.infer(image.repeat(count, 0))

    sizes = (size for size in BATCH_SIZES if size <= max_boxes)
    return LatencyModel({size: median_seconds(partial(run, size), clock) for size in sizes})


def _gray_image(spec: InputSpec) -> Image:
    return np.full((spec.height, spec.width, 3), 128, np.uint8)


def median_seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Returns the median duration of a call in seconds; one more call is made first, and not timed.

    Args:
        call: What to time.
        clock: Function that returns the time in seconds.
    """
    call()
    times: list[float] = []
    while not times or (len(times) < TIMED_CALLS and sum(times) < MAX_TIMED_SECONDS):
        started = clock()
        call()
        times.append(clock() - started)
    return statistics.median(times)
