"""Latency of policies, relative to running the classifier on the unchanged image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.policy_outcomes import CENTER
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Image


def latency_ratios(
    evaluated: EvaluatedModel,
    images: Image,
    policies: Sequence[Policy],
    *,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Measures the wall-clock time of each policy relative to that of one view.

    It includes running the loss predictor and computing the views. The policies take turns on each image.

    Args:
        evaluated: The model; see `open_model`.
        images: uint8 [n, h, w, 3], decided on one after the other, as from a camera.
        policies: Policies that the model can follow.
        rounds: How often each policy is run on each image; the median counts.
        clock: Function that returns the time in seconds.

    Returns:
        For each policy its time divided by that of the policy "center", mean over the images.
    """
    rng, timed = np.random.default_rng(0), [CENTER, *(policy for policy in policies if policy != CENTER)]
    times = np.zeros((len(timed), rounds, len(images)))
    for policy in timed:
        _decide(evaluated, policy, images[0], rng)  # some backends compile for a batch size when they first meet it
    for turn in range(rounds):
        for column, image in enumerate(images):
            for row, policy in enumerate(timed):
                started = clock()
                _decide(evaluated, policy, image, rng)
                times[row, turn, column] = clock() - started
    seconds = dict(zip(timed, np.median(times, 1).mean(1).tolist(), strict=True))
    return [seconds[policy] / seconds[CENTER] for policy in policies]


def _decide(evaluated: EvaluatedModel, policy: Policy, image: Image, rng: np.random.Generator) -> None:
    """Runs a policy on one image."""
    losses = (
        evaluated.predict_losses(image[None])
        if policy.needs_predictor and evaluated.predict_losses
        else np.zeros((1, len(policy.views)), np.float32)
    )
    names, weights = policy.views_for(policy.choose(losses, rng)[0])
    steps = steps_without_deadline(len(names), policy.early_exit_threshold)
    run_views(evaluated.logits, image, names, weights, policy.early_exit_threshold, steps, time.perf_counter)
