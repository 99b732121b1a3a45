"""Runs views of a picture until the vote on it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.tta.aggregate import mean_probability
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image


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
    steps: Callable[[int], int],
    clock: Callable[[], float],
) -> Looked:
    """Runs views in batches until the vote is settled, or no more are to be run.

    Args:
        run: the classifier, uint8 [n, h, w, 3] -> float32 [n, C] logits.
        image: uint8 [h, w, 3], prepared.
        names: of the views, in order.
        weights: of each in the vote.
        settled: share of the vote for a class above which no further view is run.
        steps: after so many views, how many to run next; 0 for no more. At least 1 for the first.
        clock: seconds.

    Raises:
        EngineError: the engine failed.
    """
    answers: list[Floats] = []
    step = steps(0)
    making = running = 0.0
    now = began = clock()
    while True:
        batch = np.stack([view(name).apply(image) for name in names[len(answers) : len(answers) + step]])
        made = clock()
        answers += list(run(batch))
        answered = clock()
        making, running, now = making + made - now, running + answered - made, answered
        vote = mean_probability(np.stack(answers), weights[: len(answers)])
        step = 0 if float(vote.max()) > settled else steps(len(answers))
        if not step:
            return Looked(vote, len(answers), began, making, running)


def unhurried(count: int, settled: float) -> Callable[[int], int]:
    """The steps of `count` views where no time presses: one by one if the vote may settle before, else all at once."""
    return (lambda done: int(done < count)) if settled < 1 else (lambda done: count - done)
