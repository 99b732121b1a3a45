"""Runs the classifiers on views of one image until their average is confident enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.tta.aggregate import agreement, average
from allweather.runtimes.tta.confidence_model import energy
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image


@dataclass(frozen=True)
class ViewResult:
    """Result of running the views of one image.

    Attributes:
        probabilities: float32 [C], the average over the views; sums to 1.
        views_run: Number of views that were run.
        started: Time at the start, in seconds of the clock.
        view_seconds: Seconds spent on computing the views.
        infer_seconds: Seconds spent in the classifier, and on everything that the large classifier ran.
        energy: Mean energy of the views that were run; nan for a policy without a confidence model.
        agreement: Share of the views, 0..1, whose own most probable class is that of the average.
        large_seconds: Seconds of `infer_seconds` that the large classifier took, with computing its view; 0 if it did
            not run.
    """

    probabilities: Floats
    views_run: int
    started: float
    view_seconds: float
    infer_seconds: float
    energy: float = math.nan
    agreement: float = 1.0
    large_seconds: float = 0.0


def run_views(
    infer: Callable[[Image], Floats],
    image: Image,
    names: Sequence[str],
    weights: Sequence[float],
    policy: Policy,
    steps: Callable[[int], int],
    clock: Callable[[], float],
    infer_large: Callable[[Image], Floats] | None = None,
) -> ViewResult:
    """Runs views in batches until the average is confident enough, or no more views are to be run.

    Args:
        infer: The classifier: uint8 [n, h, w, 3] -> float32 [n, C] logits.
        image: uint8 [h, w, 3], prepared.
        names: Names of the views, in the order in which they are run; only the last may be for the large classifier.
        weights: Weight of each view in the average.
        policy: Says what is averaged, and the probability of a class above which no further view is run.
        steps: Function from the number of views run so far to the number to run next; 0 to stop. At least 1 at first.
        clock: Function that returns the time in seconds.
        infer_large: The large classifier, likewise; for a policy that it takes part in.

    Raises:
        EngineError: The engine failed.
    """
    logits: list[Floats] = []
    step = steps(0)
    view_seconds = infer_seconds = large_seconds = 0.0
    now = started = clock()
    while True:
        following = names[len(logits) : len(logits) + step]
        if own := [name for name in following if not name.startswith(LARGE)]:
            batch = np.stack([view(name).apply(image) for name in own])
            views_done = clock()
            logits += list(infer(batch))
            infer_done = clock()
            view_seconds, infer_seconds = view_seconds + views_done - now, infer_seconds + infer_done - views_done
            now = infer_done
        if len(own) < len(following):
            assert infer_large is not None  # as `check_runnable` makes sure
            logits += list(infer_large(view(following[-1].removeprefix(LARGE)).apply(image)[None]))
            now, large_started = clock(), now
            large_seconds = now - large_started
        probabilities = average(np.stack(logits), weights[: len(logits)], policy.averages)
        step = 0 if float(probabilities.max()) > policy.early_exit_threshold else steps(len(logits))
        if not step:
            rows = np.stack(logits)
            mean, agreed = mean_energy(rows, policy), agreement(rows, probabilities)
            seconds = started, view_seconds, infer_seconds + large_seconds
            return ViewResult(probabilities, len(rows), *seconds, mean, agreed, large_seconds)


def mean_energy(logits: Floats, policy: Policy) -> float:
    """Returns the mean energy of some views, whose logits are float32 [k, C]; nan if the policy does not use it."""
    return float(energy(logits).mean()) if policy.confidence_model else math.nan


def steps_without_deadline(count: int, policy: Policy) -> Callable[[int], int]:
    """Returns the `steps` of `run_views` without a deadline: one view at a time with an early exit, else all at once.

    Args:
        count: Number of views.
        policy: The policy that they are run for.
    """
    return (lambda done: int(done < count)) if policy.exits_early else (lambda done: count - done)
