"""The perceiver, which runs the classifier and the loss predictor on a frame as its planner says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.perceiver.boxes import check_regions, regions_of
from allweather.runtimes.perceiver.checked_engine import CheckedEngine
from allweather.runtimes.perceiver.decisions import frame_decision, object_decisions, object_predictions, stage_times
from allweather.runtimes.perceiver.frame_time import with_usable_time
from allweather.runtimes.perceiver.large_classifier import LargeClassifier
from allweather.runtimes.perceiver.loss_predictor import LossPredictor, check_runnable
from allweather.runtimes.perceiver.one_process import OneProcess
from allweather.runtimes.perceiver.run_batch import checked_images, decide_batch
from allweather.runtimes.perceiver.run_objects import ObjectsRun
from allweather.runtimes.preprocess import InputSpec, check_image, swap_red_and_blue
from allweather.runtimes.region import Region
from allweather.runtimes.threads.fair_lock import FairLock
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import Planner
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import run_views
from allweather.runtimes.types import Budget, Decision, Frame, GivenImage

CENTER = parse_policy("center")


class Perceiver(OneProcess):
    """Decides what a frame shows, within a time budget. A context manager.

    Any number of threads may use a perceiver, in the order in which they came; a frame's budget includes its wait.

    Args:
        engine: Runs the classifier; closed with the perceiver.
        classes: Class names, in the order of the logits; an attribute of the perceiver, too.
        spec: The classifier's input; images are prepared for it.
        budget: Time from capture to decision. As many views are run as fit into it. None for no deadline.
        policy: Which views are run if there is time.
        loss_predictor: Required by a policy that ranks views; closed with the perceiver.
        large: Required by a policy that a large classifier takes part in; closed with the perceiver.
        view_latency: Latency model of running 1, 2, ... views, if it was measured; each frame adapts it.
        predictor_latency: Latency model of the loss predictor, if it was measured; each frame adapts it.
        clock: Function that returns monotonic seconds; the same clock that frames are stamped with.
        seed: Random seed of policies that draw views; the same seed gives the same views.
        engine_name: Name of the engine, for reports.
        precision: Precision of the classifier, such as "int8", for reports.

    Raises:
        UsageError: The policy needs a loss predictor or a large classifier and there is none, or the true losses.
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
        large: LargeClassifier | None = None,
        view_latency: LatencyModel | None = None,
        predictor_latency: LatencyModel | None = None,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
        engine_name: str = "",
        precision: str = "",
    ) -> None:
        self.engine_name, self.precision = engine_name, precision
        check_runnable(policy, loss_predictor is not None, large is not None)
        self.classes, self.spec, self.budget, self.policy = tuple(classes), spec, budget or Budget(), policy
        self._engine, self._clock = CheckedEngine(engine, len(self.classes)), clock
        self._loss_predictor, self._large, self._owns_engines = loss_predictor, large and large.checked(classes), True
        self._predictor_latency = predictor_latency or LatencyModel()
        self._finishing = LatencyModel({1: 0.0})  # what follows the last batch of several objects
        self._planner = self._planner_of(policy, view_latency or LatencyModel())
        self._rng = np.random.default_rng(seed)
        self._decided, self._lock = 0, FairLock()

    def sharing(self, budget: Budget | None, policy: Policy) -> Perceiver:
        """Returns a perceiver with a budget and a policy of its own, which uses the same engines in turn with this one.

        Closing it does nothing; it must not be used once this one is closed.

        Args:
            budget: Time from capture to decision; None for no deadline.
            policy: Which views are run if there is time.

        Raises:
            UsageError: The policy needs a network that this perceiver was made without, or the true losses.
        """
        check_runnable(policy, self._loss_predictor is not None, self._large is not None)
        other = object.__new__(type(self))  # of the same class, as a perceiver on a server gives up on a frame in time
        vars(other).update(vars(self))
        other.budget, other.policy, other._owns_engines = budget or Budget(), policy, False
        other._planner = self._planner_of(policy, self._planner.view_latency)
        other._finishing, other._rng, other._decided = LatencyModel({1: 0.0}), np.random.default_rng(0), 0
        return other

    def __call__(self, image: GivenImage, *, bgr: bool = False) -> Decision:
        """Decides on an image that was captured just now.

        Args:
            image: uint8 [H, W, 3], RGB.
            bgr: Whether the channels are in the order blue, green, red, as OpenCV reads them.

        Raises:
            UsageError: `image` is not uint8 [H, W, 3].
            EngineError: The engine failed.
        """
        captured = self._clock()
        with self._lock:
            return self.decide(Frame(swap_red_and_blue(image) if bgr else image, self._decided, captured))

    def batch(self, images: Iterable[GivenImage], *, bgr: bool = False) -> list[Decision]:
        """Decides on many images, faster than one by one, without a deadline and with the same predictions.

        Stage times are shares of those of the whole batch, whose time is the age of each decision. A policy with an
        early exit is not faster this way, as it runs its views one by one.

        Args:
            images: uint8 [H, W, 3] each, RGB, of any sizes.
            bgr: Whether the channels are in the order blue, green, red.

        Raises:
            UsageError: One of the images is not uint8 [H, W, 3], or `images` are not several.
            EngineError: The engine failed.
        """
        images = checked_images(images)
        if not len(images):
            return []
        with self._lock:
            decisions = decide_batch(
                [swap_red_and_blue(image) if bgr else image for image in images],
                self._engine.infer, self._loss_predictor, self._planner, self.classes, self.spec,
                self._decided, self._clock, self._rng, self._large,
            )  # fmt: skip
            self._decided += len(decisions)
            return decisions

    def objects(self, frame: Frame | GivenImage, boxes: Any, *, bgr: bool = False) -> list[Decision]:
        """Decides on several parts of a frame, such as the boxes of a detector, within one budget for all of them.

        Each box gets one view first, in few batches. Then the time that is left goes to the views, of whichever boxes,
        that promise most: where the predicted losses are high or, without a loss predictor, the predictions uncertain.
        Without a deadline the policy is followed for every box. For many boxes `load(max_boxes=...)` measures the
        batches beforehand.

        Args:
            frame: The frame with the time of its capture, or an image that was captured just now: uint8 [H, W, 3], RGB.
            boxes: int or float [n, 4] in pixels: left, top, right and bottom edge of each box, which is clipped to the
                frame.
            bgr: Whether the channels are in the order blue, green, red.

        Returns:
            One decision for each box, in their order. Boxes that there is no time for have the reason "undecided": the
            last ones, so that a detector's most certain boxes should come first.

        Raises:
            UsageError: The image is not uint8 [H, W, 3], or a box covers nothing of it.
            EngineError: The engine failed.
        """
        now = self._clock()
        frame = with_usable_time(frame if isinstance(frame, Frame) else Frame(frame, self._decided, now), now)
        image = swap_red_and_blue(frame.image) if bgr else frame.image
        check_image(image)
        return self.decide_regions(Frame(image, frame.index, frame.captured), regions_of(boxes, *image.shape[:2]))

    def decide_regions(
        self, frame: Frame, regions: Sequence[Region], skipped: int = 0, *, views_before: Sequence[int] = ()
    ) -> list[Decision]:
        """Decides on several regions of a frame within one budget for all of them, as `objects` does.

        Args:
            frame: The frame, with the time of its capture.
            regions: The parts of the frame, the most important first.
            skipped: Number of frames that were dropped since the previous one; it is passed on in the decisions.
            views_before: Number of views that were run on earlier frames of each region's object; none if empty.

        Returns:
            One decision for each region, in their order.

        Raises:
            UsageError: The image is not uint8 [H, W, 3], a region is outside, or the time or `views_before` is wrong.
            EngineError: The engine failed.
        """
        if not check_regions(regions):
            return []
        with self._lock:
            clock, started = self._clock, self._clock()
            frame = with_usable_time(frame, started)
            prepared = [self.spec.prepare(region.crop(frame.image)) for region in regions]
            prepare_done = clock()
            run = ObjectsRun(
                self._engine.infer, self._loss_predictor, self._planner,
                lambda: self._time_left(frame) - self._finishing.usual_seconds(len(prepared)), clock, self._rng,
                views_before, self._large,
            )  # fmt: skip
            result = run.run(prepared)
            predictions = object_predictions(result, self.policy, self.classes)
            done = clock()
            self._finishing.add(len(prepared), done - result.batches_done)
            late = done > self.budget.deadline(frame) - self.budget.reserve
            if self._planner.predictor_latency and not result.ranked:
                self._planner.predictor_latency.follow(self._planner.view_latency)
            self._planner.learn(late=late, could_be_shorter=result.views_run > 1 or result.ranked)
            self._decided += 1
            return object_decisions(
                result, predictions, self.policy, frame, regions, skipped,
                prepare_seconds=prepare_done - started, run_seconds=done - prepare_done,
                age=done - frame.captured, late=done > self.budget.deadline(frame),
            )  # fmt: skip

    def lock(self) -> FairLock:
        """Returns the perceiver's lock. In a `with` block on it, no other thread decides; `decide` takes it itself."""
        return self._lock

    def can_meet_deadline(self, frame: Frame) -> bool:
        """Returns whether one view of this frame can be run before its deadline.

        It also returns True if the budget is too short for any frame, as dropping frames would not help then.
        """
        seconds = self._planner.seconds(1)
        return seconds <= self._time_left(frame) or seconds > self.budget.seconds - self.budget.reserve

    def decide(self, frame: Frame, skipped: int = 0, *, views_before: int = 0) -> Decision:
        """Decides on a frame of a camera.

        Args:
            frame: The frame, with the time of its capture.
            skipped: Number of frames that were dropped since the previous one; it is passed on in the decision.
            views_before: Number of views that were run on earlier frames of the same object (`Smoother.views_before`).
                With a policy of one view, such as "top:1", the four best-ranked views take turns.

        Raises:
            UsageError: The image is not uint8 [H, W, 3], its time is that of another clock, or `views_before` is none.
            EngineError: The engine failed.
        """
        with self._lock:
            clock, planner, started = self._clock, self._planner, self._clock()
            prepared = self.spec.prepare(with_usable_time(frame, started).image)
            prepare_done = clock()
            losses = None
            if planner.has_time_to_predict(self._time_left(frame)) and self._loss_predictor:
                losses = self._loss_predictor.losses(prepared)
            rank_done = clock()
            plan = planner.plan(losses, self._time_left(frame), self._rng, views_before)
            steps = planner.steps(plan, lambda: self._time_left(frame))
            large = self._large.engine.infer if self._large else None
            result = run_views(self._engine.infer, prepared, plan.views, plan.weights, self.policy, steps, clock, large)
            done = clock()
            times = stage_times(started, prepare_done, rank_done, result, done)
            age, late = done - frame.captured, done > self.budget.deadline(frame)
            decision = frame_decision(self.classes, self.policy, frame, skipped, plan, result, times, age, late=late)
            late = age > self.budget.seconds - self.budget.reserve
            planner.observe(plan, times, result.views_run, late=late, large_seconds=result.large_seconds)
            self._decided += 1
            return decision

    def _time_left(self, frame: Frame) -> float:
        """Returns the seconds to the frame's deadline, less the reserve."""
        return self.budget.deadline(frame) - self.budget.reserve - self._clock()

    def _planner_of(self, policy: Policy, view_latency: LatencyModel) -> Planner:
        """Returns a planner of a policy, which learns together with all others how long the networks take."""
        predictor = self._predictor_latency if policy.needs_predictor else None
        return Planner(policy, view_latency, predictor, self._large.latency if self._large else None)

    def __repr__(self) -> str:
        """Returns engine, number of classes, input size and policy: all that fits on a line."""
        engine = " ".join(part for part in (self.engine_name, self.precision) if part) or "own engine"
        size = f"{self.spec.width} x {self.spec.height} px"
        return f"<Perceiver: {engine}, {len(self.classes)} classes, {size}, policy {self.policy.name}>"

    def close(self) -> None:
        """Closes the engines, unless they are those of another perceiver."""
        if self._owns_engines:
            for network in (self._loss_predictor, self._large):
                if network:
                    network.engine.close()
            self._engine.close()

    def __enter__(self) -> Perceiver:
        """Returns the perceiver itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engines."""
        self.close()
