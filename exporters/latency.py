"""Latency of a compiled model on the machine of the export."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.types import Image
from allweather.runtimes.warm_up import median_seconds

MAX_BATCH_SIZE = 4  # batch sizes 1 to 4 are timed
TIMED_CALLS = 15  # for each batch size, after one call that is not timed


def measure_latency(engine: Engine, image: Image, clock: Callable[[], float] = time.perf_counter) -> tuple[float, ...]:
    """Returns the median seconds of a call with 1, 2, 3 and 4 images on this machine.

    Args:
        engine: An open engine.
        image: Prepared image, uint8 [h, w, 3].
        clock: Function that returns the time in seconds.
    """
    batches = (np.repeat(image[None], batch_size, axis=0) for batch_size in range(1, MAX_BATCH_SIZE + 1))
    return tuple(
        median_seconds(partial(engine.infer, batch), clock, max_calls=TIMED_CALLS, max_seconds=math.inf)
        for batch in batches
    )
