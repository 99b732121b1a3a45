"""The perceiver: a frame goes in, a decision comes out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.fair_lock import FairLock
from allweather.runtimes.tta.batch import infer_in_batches, run_views_batch
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import Planner
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.tta.run_views import ViewResult, run_views
from allweather.runtimes.types import Budget, Decision, Floats, Frame, Image, Plan, Reason, StageTimes

CENTER = parse_policy("center")


@dataclass(frozen=True)
class LossPredictor:
    """A running loss predictor.

    Attributes:
        engine: float32 [V] for each picture.
        spec: what it takes.
    """

    engine: Engine
    spec: InputSpec


class Perceiver:
    """Decides what is in a frame, within a time budget. A context manager.

    Any number of threads may use it; they take turns, in the order they came. The time that a frame waits for its turn
    is part of its budget.

    Args:
        engine: runs the classifier; closed with the perceiver.
        classes: names, in the order of the logits.
        spec: how a picture is prepared.
        budget: time from capture to decision: as many looks are taken as fit into it.
        policy: which views are run, if there is time.
        ranker: for a policy that ranks views; closed with the perceiver.
        looks: what running 1, 2, ... views costs, if it is known; it is learned from every frame.
        rank: what the loss predictor costs, likewise.
        clock: seconds, monotonic; the one that frames are stamped with.
        seed: of policies that draw.
    """

    def __init__(
        self,
        engine: Engine,
        classes: Sequence[str],
        spec: InputSpec,
        budget: Budget | None = None,
        *,
        policy: Policy = CENTER,
        loss_predictor: LossPredictor | None = None,
        view_latency: LatencyModel | None = None,
        predictor_latency: LatencyModel | None = None,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ) -> None:
        check_runnable(policy, loss_predictor is not None)
        self.classes, self.spec, self.budget, self.policy = tuple(classes), spec, budget or Budget(), policy
        self._engine, self._ranker, self._clock = engine, loss_predictor if policy.needs_predictor else None, clock
        self._planner = Planner(
            policy,
            view_latency or LatencyModel(),
            (predictor_latency or LatencyModel()) if policy.needs_predictor else None,
        )
        self._rng = np.random.default_rng(seed)
        self._decided = 0
        self._turns = FairLock()

    def __call__(self, image: Image, *, bgr: bool = False) -> Decision:
        """Decides on a picture that was taken just now.

        Args:
            image: uint8 [H, W, 3], RGB.
            bgr: whether its channels come as blue, green, red, as OpenCV reads them.

        Raises:
            UsageError: `image` is no such picture.
            EngineError: the engine failed.
        """
        captured = self._clock()
        with self._turns:
            return self.decide(Frame(rgb(image) if bgr else image, self._decided, captured))

    def batch(self, images: Sequence[Image], *, bgr: bool = False) -> list[Decision]:
        """Decides on many pictures, faster than one by one and without a deadline; with the same answers.

        The times of a decision are its share of those of all, its age is the time of all. A policy that stops once the
        vote is settled gains nothing here, as it runs its views one by one.

        Args:
            images: uint8 [H, W, 3] each, RGB, of any sizes.
            bgr: whether their channels come as blue, green, red.

        Raises:
            UsageError: one of them is no such picture.
            EngineError: the engine failed.
        """
        if not len(images):
            return []
        with self._turns:
            clock = self._clock
            began = clock()
            prepared = [self.spec.prepare(rgb(image) if bgr else image) for image in images]
            ready = clock()
            rows: list[Floats | None] = [None] * len(images)
            if self._ranker:
                small = [self._ranker.spec.prepare(each) for each in prepared]
                rows = [row[None] for row in infer_in_batches(self._ranker.engine.infer, small)]
            ranked = clock()
            plans = [self._planner.plan(row, math.inf, self._rng) for row in rows]
            planned = clock()
            seen = run_views_batch(self._engine.infer, prepared, plans, self.policy.early_exit_threshold, clock)
            view_seconds, infer_seconds = (
                sum(each.view_seconds for each in seen),
                sum(each.infer_seconds for each in seen),
            )
            done, share = clock(), 1 / len(images)
            rest = done - planned - view_seconds - infer_seconds
            spent = (ready - began, ranked - ready, planned - ranked, view_seconds, infer_seconds, rest)
            times = StageTimes(*(share * seconds for seconds in spent))
            decisions = []
            for each, plan, looked in zip(prepared, plans, seen, strict=True):
                frame = Frame(each, self._decided, began)
                decisions.append(replace(self._decision(frame, 0, plan, looked, times, done), late=False))
                self._decided += 1
            return decisions

    def turn(self) -> FairLock:
        """For a `with` block in which no other thread decides; `decide` waits for one by itself."""
        return self._turns

    def can_meet_deadline(self, frame: Frame) -> bool:
        """Whether a look at this frame could end before its deadline, or no look at any frame could."""
        one = self._planner.seconds(1)
        return one <= self._left(frame) or one > self.budget.seconds - self.budget.reserve

    def decide(self, frame: Frame, skipped: int = 0) -> Decision:
        """Decides on a frame of a camera.

        Args:
            frame: with the time of its capture.
            skipped: frames passed over since the last one; goes into the decision.

        Raises:
            UsageError: the image is not uint8 [H, W, 3].
            EngineError: the engine failed.
        """
        with self._turns:
            clock, planner = self._clock, self._planner
            began = clock()
            prepared = self.spec.prepare(frame.image)
            ready = clock()
            losses = self._ranked(prepared) if planner.has_time_to_predict(self._left(frame)) else None
            ranked = clock()
            plan = planner.plan(losses, self._left(frame), self._rng)
            steps = planner.steps(plan, lambda: self._left(frame))
            seen = run_views(
                self._engine.infer, prepared, plan.views, plan.weights, self.policy.early_exit_threshold, steps, clock
            )
            done = clock()
            vote = done - seen.started - seen.view_seconds - seen.infer_seconds
            times = StageTimes(
                ready - began, ranked - ready, seen.started - ranked, seen.view_seconds, seen.infer_seconds, vote
            )
            decision = self._decision(frame, skipped, plan, seen, times, done)
            if planner.predictor_latency and losses is None:
                planner.predictor_latency.follow(planner.view_latency)
            elif planner.predictor_latency:
                planner.predictor_latency.add(1, ranked - ready)
            planner.learn(plan, done > self.budget.deadline(frame) - self.budget.reserve)
            view_latency, rest = (seen.views_run, 1) if not self.policy.exits_early else (1, seen.views_run)
            planner.view_latency.add(
                view_latency, (decision.times.views + decision.times.infer + decision.times.aggregate) / rest
            )
            self._decided += 1
            return decision

    def _decision(
        self, frame: Frame, skipped: int, plan: Plan, seen: ViewResult, times: StageTimes, done: float
    ) -> Decision:
        best = int(seen.probabilities.argmax())
        confidence = float(seen.probabilities[best])
        reason: Reason = plan.reason
        if seen.views_run < len(plan.views):
            reason = "early_exit" if confidence > self.policy.early_exit_threshold else "budget"
        return Decision(
            label=self.classes[best],
            confidence=confidence,
            probabilities=seen.probabilities,
            index=frame.index,
            views=plan.views[: seen.views_run],
            predicted_losses=plan.predicted_losses[: seen.views_run],
            times=times,
            age=done - frame.captured,
            late=done > self.budget.deadline(frame),
            skipped=skipped,
            planned_views=plan.planned_views,
            time_left=plan.time_left,
            expected_seconds=plan.expected_seconds,
            reason=reason,
        )

    def _left(self, frame: Frame) -> float:
        """Seconds that may be planned with."""
        return self.budget.deadline(frame) - self.budget.reserve - self._clock()

    def _ranked(self, prepared: Image) -> Floats:
        """The predicted loss of each view, float32 [1, V]."""
        assert self._ranker is not None
        return self._ranker.engine.infer(self._ranker.spec.prepare(prepared)[None])

    def close(self) -> None:
        """Closes the engines."""
        self._engine.close()
        if self._ranker:
            self._ranker.engine.close()

    def __enter__(self) -> Perceiver:
        """The perceiver itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engines."""
        self.close()


def rgb(image: Image) -> Image:
    """A picture of OpenCV, whose channels are blue, green and red, with them in our order; what is none, as it is."""
    return image[..., ::-1] if isinstance(image, np.ndarray) and image.ndim == 3 else image


def check_runnable(policy: Policy, needs_predictor: bool) -> None:
    """Refuses a policy that no camera loop can follow.

    Args:
        policy: of the loop.
        ranks: whether there is a loss predictor.

    Raises:
        UsageError: saying what it needs.
    """
    if policy.pick == "oracle":
        raise UsageError(
            f"policy {policy.name} knows the true losses, so it is for evaluate alone; top:K predicts them"
        )
    if policy.needs_predictor and not needs_predictor:
        raise UsageError(
            f"policy {policy.name} needs a loss predictor, and there is none; train one with allweather predictor, and "
            "export it again"
        )
