"""Runs views of a picture until the vote on it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.tta.aggregate import average_probabilities
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image


@dataclass(frozen=True)
class ViewResult:
    """What came of it.

    Attributes:
        probabilities: float32 [C], sums to 1.
        used: how many views it took.
        began: seconds of the clock.
        making: seconds of making them.
        running: seconds of the classifier.
    """

    probabilities: Floats
    views_run: int
    started: float
    view_seconds: float
    infer_seconds: float


def run_views(
    run: Callable[[Image], Floats],
    image: Image,
    names: Sequence[str],
    weights: Sequence[float],
    early_exit_threshold: float,
    steps: Callable[[int], int],
    clock: Callable[[], float],
) -> ViewResult:
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
    logits: list[Floats] = []
    step = steps(0)
    view_seconds = infer_seconds = 0.0
    now = started = clock()
    while True:
        batch = np.stack([view(name).apply(image) for name in names[len(logits) : len(logits) + step]])
        made = clock()
        logits += list(run(batch))
        answered = clock()
        view_seconds, infer_seconds, now = view_seconds + made - now, infer_seconds + answered - made, answered
        probabilities = average_probabilities(np.stack(logits), weights[: len(logits)])
        step = 0 if float(probabilities.max()) > early_exit_threshold else steps(len(logits))
        if not step:
            return ViewResult(probabilities, len(logits), started, view_seconds, infer_seconds)


def steps_without_deadline(count: int, early_exit_threshold: float) -> Callable[[int], int]:
    """The steps of `count` views where no time presses: one by one if the vote may settle before, else all at once."""
    return (lambda done: int(done < count)) if early_exit_threshold < 1 else (lambda done: count - done)
