"""Runs the views of many images together, in batches of sizes that the engines have compiled already."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from allweather.runtimes.tta.aggregate import agreement, average
from allweather.runtimes.tta.planner import BATCH_SIZES
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.run_views import ViewResult, mean_energy, run_views, steps_without_deadline
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image, Plan

Infer = Callable[[Image], Floats]
"""uint8 [n, h, w, 3] -> float32 [n, outputs], as `Engine.infer`."""


def infer_in_batches(infer: Infer, images: Sequence[Image]) -> Floats:
    """Runs an engine on prepared images, in few large batches whose sizes are all among `BATCH_SIZES`.

    Args:
        infer: `Engine.infer` of an open engine.
        images: At least one image, uint8 [h, w, 3] each.

    Returns:
        float32 [n, outputs].

    Raises:
        EngineError: The engine failed.
    """
    outputs, start = [], 0
    while start < len(images):
        size = max(size for size in BATCH_SIZES if size <= len(images) - start)
        outputs.append(infer(np.stack(images[start : start + size])))
        start += size
    return np.concatenate(outputs)


def run_views_batch(
    infer: Infer,
    images: Sequence[Image],
    plans: Sequence[Plan],
    policy: Policy,
    clock: Callable[[], float],
    infer_large: Infer | None = None,
) -> list[ViewResult]:
    """Runs the planned views of each image. Without an early exit, all views of all images run together.

    Args:
        infer: `Engine.infer` of the classifier.
        images: uint8 [h, w, 3] each, prepared.
        plans: The plan for each image.
        policy: The policy of all plans. It says what is averaged, and the probability of a class above which no further
            view of an image is run.
        clock: Function that returns the time in seconds.
        infer_large: `Engine.infer` of the large classifier; for a policy that it takes part in.

    Returns:
        The result for each image; of views that ran together, with the image's share of the seconds.

    Raises:
        EngineError: The engine failed.
    """
    if policy.exits_early:
        return [
            run_views(
                infer,
                image,
                plan.views,
                plan.weights,
                policy,
                steps_without_deadline(len(plan.views), policy),
                clock,
                infer_large,
            )
            for image, plan in zip(images, plans, strict=True)
        ]
    started = clock()
    runs = [(image, name) for image, plan in zip(images, plans, strict=True) for name in plan.views]
    views = [view(name.removeprefix(LARGE)).apply(image) for image, name in runs]
    on_large = np.array([name.startswith(LARGE) for _, name in runs])
    views_done = clock()
    logits: list[Floats] = [np.empty(0, np.float32)] * len(runs)
    for engine, indices in ((infer, np.flatnonzero(~on_large)), (infer_large, np.flatnonzero(on_large))):
        if len(indices):
            assert engine is not None  # as `check_runnable` makes sure
            for index, row in zip(indices, infer_in_batches(engine, [views[each] for each in indices]), strict=True):
                logits[index] = row
    infer_done = clock()
    results, end = [], 0
    for plan in plans:
        start, end = end, end + len(plan.views)
        rows = np.stack(logits[start:end])
        probabilities = average(rows, plan.weights, policy.averages)
        share = len(plan.views) / len(views)
        view_seconds, infer_seconds = share * (views_done - started), share * (infer_done - views_done)
        energy, agreed = mean_energy(rows, policy), agreement(rows, probabilities)
        results.append(ViewResult(probabilities, len(rows), started, view_seconds, infer_seconds, energy, agreed))
    return results
