"""Latency of a compiled model on the machine of the export."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.types import Image

MAX_BATCH_SIZE = 4  # batch sizes 1 to 4 are timed
TIMED_ROUNDS = 20  # of one call with each batch size, after one round that is not timed


def measure_latency(engine: Engine, image: Image, clock: Callable[[], float] = time.perf_counter) -> tuple[float, ...]:
    """Returns the least seconds of a call with 1, 2, 3 and 4 images on this machine.

    The least, and the batch sizes in turn, because times of different models are compared: to choose a precision, and
    to tell how many views a large classifier costs. Other programs make single calls longer, and none shorter.

    Args:
        engine: An open engine.
        image: Prepared image, uint8 [h, w, 3].
        clock: Function that returns the time in seconds.
    """
    batches = [np.repeat(image[None], batch_size, axis=0) for batch_size in range(1, MAX_BATCH_SIZE + 1)]
    for batch in batches:
        engine.infer(batch)
    rounds = [[_seconds(engine, batch, clock) for batch in batches] for _ in range(TIMED_ROUNDS)]
    return tuple(map(min, zip(*rounds, strict=True)))


def _seconds(engine: Engine, batch: Image, clock: Callable[[], float]) -> float:
    started = clock()
    engine.infer(batch)
    return clock() - started
