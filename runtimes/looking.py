"""Runs views of a picture until the vote on it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.frame import Floats, Image
from allweather.runtimes.views import view
from allweather.runtimes.vote import mean_probability


@dataclass(frozen=True)
class Looked:
    """What came of it.

    Attributes:
        vote: float32 [C], sums to 1.
        used: how many views it took.
        began: seconds of the clock.
        making: seconds of making them.
        running: seconds of the classifier.
    """

    vote: Floats
    used: int
    began: float
    making: float
    running: float


def look(
    run: Callable[[Image], Floats],
    image: Image,
    names: Sequence[str],
    weights: Sequence[float],
    settled: float,
    clock: Callable[[], float],
) -> Looked:
    """Runs views, all as one batch or one after the other.

    Args:
        run: the classifier, uint8 [n, h, w, 3] -> float32 [n, C] logits.
        image: uint8 [h, w, 3], prepared.
        names: of the views, in order.
        weights: of each in the vote.
        settled: share of the vote for a class above which no further view is run; with 1 all go as one batch.
        clock: seconds.

    Raises:
        EngineError: the engine failed.
    """
    answers: list[Floats] = []
    step = 1 if settled < 1 else len(names)
    making = running = 0.0
    now = began = clock()
    while True:
        batch = np.stack([view(name).apply(image) for name in names[len(answers) : len(answers) + step]])
        made = clock()
        answers += list(run(batch))
        answered = clock()
        making, running, now = making + made - now, running + answered - made, answered
        vote = mean_probability(np.stack(answers), weights[: len(answers)])
        if len(answers) == len(names) or float(vote.max()) > settled:
            return Looked(vote, len(answers), began, making, running)
