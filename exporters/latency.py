"""Latency of a compiled model on the machine of the export."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.types import Image

MAX_BATCH_SIZE = 4  # batch sizes 1 to 4 are timed
CALLS = 15  # timed for each batch size, after one that is not


def measure_latency(engine: Engine, image: Image, clock: Callable[[], float] = time.perf_counter) -> tuple[float, ...]:
    """Returns the median seconds of a call with 1, 2, 3 and 4 images on this machine.

    Args:
        engine: An open engine.
        image: Prepared image, uint8 [h, w, 3].
        clock: Returns the time in seconds.
    """
    medians = []
    for batch_size in range(1, MAX_BATCH_SIZE + 1):
        batch = np.repeat(image[None], batch_size, axis=0)
        engine.infer(batch)
        seconds = []
        for _ in range(CALLS):
            started = clock()
            engine.infer(batch)
            seconds.append(clock() - started)
        medians.append(statistics.median(seconds))
    return tuple(medians)
