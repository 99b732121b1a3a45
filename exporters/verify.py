"""The parity gate: what an engine answers, beside the torch classifier that its model was made from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from allweather.runtimes.engine import Engine
from allweather.runtimes.errors import ParityError
from allweather.runtimes.frame import Floats, Image
from allweather.runtimes.manifest import Parity

FP32_TOLERANCE = 0.01  # logits; engines differ by 2e-5 on an x86 CPU, a wrong constant by whole units
COST_VIEWS = 4  # batch sizes that the cost curve covers
COST_CALLS = 15


def compare(got: Floats, reference: Floats, labels: npt.NDArray[np.int64] | None) -> Parity:
    """Measures one model against torch.

    Args:
        got: float32 [n, C] logits of the engine, or [n, V] losses.
        reference: torch's.
        labels: int64 [n], the truth; None for losses, of which the lowest is the best.
    """
    difference = np.abs(got - reference)
    best, wanted = (got.argmin(1), reference.argmin(1)) if labels is None else (got.argmax(1), reference.argmax(1))
    return Parity(
        images=len(got),
        largest_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=float((best == wanted).mean()),
        accuracy=None if labels is None else float((best == labels).mean()),
        reference_accuracy=None if labels is None else float((wanted == labels).mean()),
    )


def tolerance(precision: str, parity: Parity) -> float:
    """How far a device's golden logits may be from those recorded.

    An INT8 model rounds differently on processors with and without VNNI. A device that is further from the recorded
    answer than that answer is from the truth of fp32 does not run the same model.

    Raises:
        ParityError: an fp32 model is not what torch computes, so that its conversion is wrong.
    """
    if precision == "int8":
        return max(0.5, parity.largest_logit_difference)
    if not parity.largest_logit_difference <= FP32_TOLERANCE:
        raise ParityError(
            f"the exported fp32 model's logits are off by {parity.largest_logit_difference:.3g} from torch's, where "
            f"{FP32_TOLERANCE} is allowed: an operation of this network is converted wrongly"
        )
    return FP32_TOLERANCE


def cost_curve(engine: Engine, image: Image, clock: Callable[[], float] = time.perf_counter) -> tuple[float, ...]:
    """Median seconds of a call with 1, 2, ... pictures on this machine.

    Args:
        engine: open.
        image: uint8 [h, w, 3], prepared.
        clock: seconds.
    """
    curve = []
    for count in range(1, COST_VIEWS + 1):
        batch = np.repeat(image[None], count, axis=0)
        engine.run(batch)
        times = []
        for _ in range(COST_CALLS):
            began = clock()
            engine.run(batch)
            times.append(clock() - began)
        curve.append(statistics.median(times))
    return tuple(curve)
