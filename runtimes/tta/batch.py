"""Many pictures at once: the same looks at each as one by one, in batches of sizes that engines have compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from allweather.runtimes.tta.aggregate import average_probabilities
from allweather.runtimes.tta.planner import SIZES
from allweather.runtimes.tta.run_views import ViewResult, run_views, steps_without_deadline
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image, Plan

Infer = Callable[[Image], Floats]  # uint8 [n, h, w, 3] -> float32 [n, outputs], as `Engine.infer`


def infer_in_batches(infer: Infer, images: Sequence[Image]) -> Floats:
    """Runs an engine over prepared pictures, in few large batches and without a size of its own for the rest.

    Args:
        infer: of an open engine.
        images: uint8 [h, w, 3] each, one at least.

    Returns:
        float32 [n, outputs].

    Raises:
        EngineError: the engine failed.
    """
    answers, begin = [], 0
    while begin < len(images):
        size = max(size for size in SIZES if size <= len(images) - begin)
        answers.append(infer(np.stack(images[begin : begin + size])))
        begin += size
    return np.concatenate(answers)


def run_views_batch(
    infer: Infer,
    images: Sequence[Image],
    plans: Sequence[Plan],
    early_exit_threshold: float,
    clock: Callable[[], float],
) -> list[ViewResult]:
    """Looks at each picture as it was planned. Where no vote may settle before, all views of all run together.

    Args:
        infer: of the classifier's engine.
        images: uint8 [h, w, 3] each, prepared.
        plans: one a picture.
        settled: share of a vote above which no further view of its picture is run.
        clock: seconds.

    Returns:
        What came of each, with its share of the seconds of what ran together.

    Raises:
        EngineError: the engine failed.
    """
    if early_exit_threshold < 1:
        return [
            run_views(
                infer,
                each,
                plan.views,
                plan.weights,
                early_exit_threshold,
                steps_without_deadline(len(plan.views), early_exit_threshold),
                clock,
            )
            for each, plan in zip(images, plans, strict=True)
        ]
    began = clock()
    views = [view(name).apply(each) for each, plan in zip(images, plans, strict=True) for name in plan.views]
    made = clock()
    answers = infer_in_batches(infer, views)
    answered = clock()
    seen, end = [], 0
    for plan in plans:
        begin, end = end, end + len(plan.views)
        vote = average_probabilities(answers[begin:end], plan.weights)
        share = len(plan.views) / len(views)
        seen.append(ViewResult(vote, len(plan.views), began, share * (made - began), share * (answered - made)))
    return seen
