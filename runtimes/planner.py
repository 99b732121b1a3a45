"""Which views to run on a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allweather.runtimes.frame import Floats, Plan
from allweather.runtimes.policy import Policy


def plan(policy: Policy, losses: Floats | None, costs: Sequence[float], rng: np.random.Generator) -> Plan:
    """What a policy does with one frame.

    Args:
        policy: of the loop.
        losses: float32 [1, V], predicted; None where the policy ranks nothing.
        costs: expected seconds of running 1, 2, ... views; empty where nothing was measured.
        rng: of the loop.
    """
    places = policy.choose(losses, rng)[0].tolist()
    names, weights = policy.run(places)
    known = (
        () if losses is None else tuple(float(losses[0, place]) for place in places for _ in range(1 + policy.flips))
    )
    expected = costs[len(names) - 1] if len(names) <= len(costs) else float("nan")
    return Plan(names, weights, known, expected)
