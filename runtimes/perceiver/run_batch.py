"""Decides on many images at once, without a deadline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver.decisions import frame_decision
from allweather.runtimes.perceiver.large_classifier import LargeClassifier
from allweather.runtimes.perceiver.loss_predictor import LossPredictor
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.batch import infer_in_batches, run_views_batch
from allweather.runtimes.tta.planner import Planner
from allweather.runtimes.types import Decision, Floats, Frame, Image, StageTimes


def checked_images(images: Iterable[Image]) -> Sequence[Image]:
    """Returns the images of a batch as a sequence. Each of them is checked when it is prepared.

    Raises:
        UsageError: They are not iterable, or a single image.
    """
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise UsageError(f"batch takes a sequence of images; got {type(images).__name__}")
    if isinstance(images, np.ndarray) and images.ndim in (2, 3) and len(images):
        raise UsageError(
            f"batch takes several images, such as a list of them; got one array, {images.dtype} {list(images.shape)}: "
            "perceiver(image) decides on one image"
        )
    return images if isinstance(images, Sequence | np.ndarray) else list(images)  # type: ignore[return-value]


def decide_batch(
    images: Sequence[Image],
    infer: Callable[[Image], Floats],
    loss_predictor: LossPredictor | None,
    planner: Planner,
    classes: Sequence[str],
    spec: InputSpec,
    first_index: int,
    clock: Callable[[], float],
    rng: np.random.Generator,
    large: LargeClassifier | None = None,
) -> list[Decision]:
    """Decides on images, all views of all of them in few batches.

    Args:
        images: uint8 [H, W, 3] each, RGB, of any sizes; at least one.
        infer: `Engine.infer` of the classifier.
        loss_predictor: The loss predictor; may be None if the policy needs none.
        planner: Follows the policy.
        classes: Class names, in the order of the logits.
        spec: The classifier's input.
        first_index: Index of the decision on the first image.
        clock: Function that returns the time in seconds.
        rng: Random generator of policies that draw views.
        large: The large classifier; for a policy that it takes part in.

    Returns:
        One decision for each image. Its stage times are its share of those of the whole batch; its age is the time of
        the whole batch.

    Raises:
        UsageError: One of the images is not uint8 [H, W, 3].
        EngineError: The engine failed.
    """
    started = clock()
    prepared = [spec.prepare(image) for image in images]
    prepare_done = clock()
    losses: list[Floats | None] = [None] * len(images)
    if loss_predictor and planner.policy.needs_predictor:
        small = [loss_predictor.spec.prepare(image) for image in prepared]
        losses = [row[None] for row in infer_in_batches(loss_predictor.engine.infer, small)]
    rank_done = clock()
    plans = [planner.plan(row, math.inf, rng) for row in losses]
    plan_done = clock()
    results = run_views_batch(infer, prepared, plans, planner.policy, clock, large.engine.infer if large else None)
    view_seconds = sum(result.view_seconds for result in results)
    infer_seconds = sum(result.infer_seconds for result in results)
    done, share = clock(), 1 / len(images)
    times = StageTimes(
        prepare=share * (prepare_done - started),
        rank=share * (rank_done - prepare_done),
        plan=share * (plan_done - rank_done),
        views=share * view_seconds,
        infer=share * infer_seconds,
        aggregate=share * (done - plan_done - view_seconds - infer_seconds),
    )
    return [
        frame_decision(
            classes, planner.policy, Frame(image, index, started), 0, plan, result, times, done - started, late=False
        )
        for index, (image, plan, result) in enumerate(zip(prepared, plans, results, strict=True), start=first_index)
    ]
