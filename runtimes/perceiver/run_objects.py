"""Runs views of several objects of a frame within one deadline: one of each first, and then where it helps most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.perceiver.batch_costs import BatchCosts
from allweather.runtimes.perceiver.large_classifier import LargeClassifier
from allweather.runtimes.perceiver.loss_predictor import LossPredictor
from allweather.runtimes.perceiver.object_state import ObjectState, most_promising, most_uncertain
from allweather.runtimes.tta.planner import BATCH_SIZES, Planner
from allweather.runtimes.tta.turns import check_views_before
from allweather.runtimes.tta.views import IDENTITY, view
from allweather.runtimes.types import Floats, Image

Infer = Callable[[Image], Floats]


@dataclass(frozen=True)
class ObjectsResult:
    """What was run for the objects of one frame.

    Attributes:
        states: One for each object; without logits for those that there was no time for.
        ranked: Whether the views were ranked by predicted losses.
        time_left: Seconds to the deadline at the start.
        forced: Whether not even the first view was expected to fit into the time.
        rank_seconds: Seconds spent in the loss predictor.
        view_seconds: Seconds spent on computing views.
        infer_seconds: Seconds spent in the classifiers.
        batches_done: Time of the clock when the last batch was done, in seconds.
    """

    states: tuple[ObjectState, ...]
    ranked: bool
    time_left: float
    forced: bool
    rank_seconds: float
    view_seconds: float
    infer_seconds: float
    batches_done: float

    @property
    def views_run(self) -> int:
        """Number of views that were run for all objects together."""
        return sum(state.views_run for state in self.states)


class ObjectsRun:
    """Runs the classifier on the objects of one frame.

    Args:
        infer: `Engine.infer` of the classifier.
        loss_predictor: The loss predictor; None if the policy needs none.
        planner: Says how long batches take, and learns it from these.
        time_left: Function that returns the seconds to the deadline, less the reserve and what follows the last batch.
        clock: Function that returns the time in seconds.
        rng: Random generator of policies that draw views.
        views_before: Number of views that were run on earlier frames of each object; none if empty.
        large: The large classifier; for a policy that it takes part in.
    """

    def __init__(
        self, infer: Infer, loss_predictor: LossPredictor | None, planner: Planner,
        time_left: Callable[[], float], clock: Callable[[], float], rng: np.random.Generator,
        views_before: Sequence[int] = (), large: LargeClassifier | None = None,
    ) -> None:  # fmt: skip
        self._infer, self._loss_predictor, self._planner, self._large = infer, loss_predictor, planner, large
        self._time_left, self._clock, self._rng, self._views_before = time_left, clock, rng, views_before
        self._rank_seconds = self._view_seconds = self._infer_seconds = self._batches_done = 0.0

    def run(self, images: Sequence[Image]) -> ObjectsResult:
        """Runs views of all objects until the policy is followed for each, or the time is spent.

        The first view of the first object is always run. Views are ranked beforehand only where that leaves twice the
        time of the first views; else each object first is run as it is, so that none has to wait for the ranking.

        Args:
            images: Prepared image of each object, uint8 [h, w, 3], at least one.

        Raises:
            EngineError: The engine failed.
            UsageError: There is not one number of views before for each object.
        """
        planner, count = self._planner, len(images)
        self._views_before = check_views_before(self._views_before, count)
        time_left = self._time_left()
        costs = BatchCosts(
            planner.view_latency.usual_seconds, BATCH_SIZES, count, count * planner.policy.max_views, time_left
        )
        ranked = self._has_time_to_rank(count, 2 * costs.seconds(count))
        states = self._votes(self._losses(images) if ranked else None, count)
        forced = not costs.fitting(count, self._time_left())
        done = 0  # without a margin, as with the only view of a frame: what is not run has no label at all
        while done < count and (fitting := max(costs.fitting(count - done, self._time_left()), int(not done))):
            size = costs.next_batch(fitting)
            self._run_batch(images, states, range(done, done + size))
            done += size
        if done == count:
            if not ranked and planner.policy.max_views > 1 and self._has_time_to_rank(count, costs.seconds(1)):
                self._rank(images, states)
                ranked = True
            self._run_further(images, states, costs)
            self._run_large(images, states)
        return ObjectsResult(
            tuple(states), ranked, time_left, forced, self._rank_seconds, self._view_seconds, self._infer_seconds,
            self._batches_done,
        )  # fmt: skip

    def _rank(self, images: Sequence[Image], states: Sequence[ObjectState]) -> None:
        """Ranks the views that follow the first one of each object, which is the identity."""
        policy = self._planner.policy
        losses = self._losses(images)
        identity = policy.views.index(IDENTITY.name) if IDENTITY.name in policy.views else None
        for state, ranked, row in zip(states, self._votes(losses, len(images)), losses, strict=True):
            known = float(row[identity]) if identity is not None else ranked.predicted_losses[0]
            state.follow_with(ranked, known, policy.max_views)

    def _usable(self) -> float:
        """Returns how much of the time that is left may be planned, by usual times."""
        return self._planner.usable_seconds(self._time_left())

    def _run_further(self, images: Sequence[Image], states: Sequence[ObjectState], costs: BatchCosts) -> None:
        """Runs further views where they help most, until all are run or the next one does not fit into the time."""
        policy = self._planner.policy
        is_settled = policy.needs_predictor and not policy.exits_early and bool(states[0].predicted_losses)
        queue: list[int] = []
        while True:
            if not (queue and is_settled):  # what the views give changes which of them promise most
                queue = most_promising(states, policy)
            fitting = costs.fitting(len(queue), self._usable())
            if not fitting:
                return
            size = costs.next_batch(fitting)
            self._run_batch(images, states, queue[:size])
            queue = queue[size:]

    def _run_large(self, images: Sequence[Image], states: Sequence[ObjectState]) -> None:
        """Runs the first view of objects on the large classifier, the most uncertain first, while there is time."""
        policy, large = self._planner.policy, self._large
        if not policy.large or large is None:
            return
        queue = most_uncertain(states, policy)
        costs = BatchCosts(large.latency.usual_seconds, BATCH_SIZES, 0, len(queue), self._usable())
        if queue and not costs.fitting(len(queue), self._usable()):
            large.latency.follow(self._planner.view_latency)  # or it would be left out for ever
        while fitting := costs.fitting(len(queue), self._usable()):
            size = costs.next_batch(fitting)
            started = self._clock()
            batch = np.stack([view(states[index].views[0]).apply(images[index]) for index in queue[:size]])
            logits = large.engine.infer(batch)
            self._batches_done = self._clock()
            for index, row in zip(queue[:size], logits, strict=True):
                states[index].add_large(row)
            self._infer_seconds += self._batches_done - started
            large.latency.add(size, self._batches_done - started)
            queue = queue[size:]

    def _has_time_to_rank(self, count: int, seconds_after: float) -> bool:
        """Returns whether the policy ranks views, and ranking those of all objects leaves so many seconds."""
        latency = self._planner.predictor_latency
        if latency is None:
            return False
        ranking = BatchCosts(latency.usual_seconds, BATCH_SIZES, count, count, math.inf).seconds(count)
        return ranking + seconds_after <= self._usable()

    def _losses(self, images: Sequence[Image]) -> Floats:
        """Runs the loss predictor; returns float32 [n, V]."""
        predictor, latency = self._loss_predictor, self._planner.predictor_latency
        assert predictor is not None
        assert latency is not None
        small, losses = [predictor.spec.prepare(image) for image in images], []
        started = now = self._clock()
        while small:
            size = max(size for size in BATCH_SIZES if size <= len(small))
            losses.append(predictor.engine.infer(np.stack(small[:size])))
            small = small[size:]
            before, now = now, self._clock()
            latency.add(size, now - before)
        self._rank_seconds = now - started
        return np.concatenate(losses)

    def _votes(self, losses: Floats | None, count: int) -> list[ObjectState]:
        """Returns the views that the policy has for each object, none of which has been run."""
        policy = self._planner.policy
        if policy.needs_predictor and losses is None:
            return [ObjectState(*policy.fallback_views(), ()) for _ in range(count)]
        states = []
        for index, chosen in enumerate(policy.choose(losses, self._rng, count, self._views_before).tolist()):
            predicted: tuple[float, ...] = ()
            if losses is not None:
                predicted = tuple(float(losses[index, each]) for each in chosen for _ in range(policy.images_per_view))
            states.append(ObjectState(*policy.views_for(chosen), predicted))
        return states

    def _run_batch(self, images: Sequence[Image], states: Sequence[ObjectState], objects: Sequence[int]) -> None:
        """Runs the next views of some objects as one batch, an object once for each of its views."""
        started = self._clock()
        following = {index: iter(states[index].views[states[index].views_run :]) for index in objects}
        batch = np.stack([view(next(following[index])).apply(images[index]) for index in objects])
        views_done = self._clock()
        logits = self._infer(batch)
        infer_done = self._batches_done = self._clock()
        for index, row in zip(objects, logits, strict=True):
            states[index].add(row)
        self._view_seconds += views_done - started
        self._infer_seconds += infer_done - views_done
        self._planner.view_latency.add(len(objects), infer_done - started)
