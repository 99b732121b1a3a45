"""What a call costs on the machine of the export."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.types import Image

VIEWS = 4  # batch sizes that the cost curve covers
CALLS = 15


def cost_curve(engine: Engine, image: Image, clock: Callable[[], float] = time.perf_counter) -> tuple[float, ...]:
    """Median seconds of a call with 1, 2, ... pictures on this machine.

    Args:
        engine: open.
        image: uint8 [h, w, 3], prepared.
        clock: seconds.
    """
    curve = []
    for count in range(1, VIEWS + 1):
        batch = np.repeat(image[None], count, axis=0)
        engine.infer(batch)
        times = []
        for _ in range(CALLS):
            began = clock()
            engine.infer(batch)
            times.append(clock() - began)
        curve.append(statistics.median(times))
    return tuple(curve)
