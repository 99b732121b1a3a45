"""Chooses the views to run on a frame in the time left: first fewer views, then no ranking, finally one view."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.turns import check_views_before
from allweather.runtimes.types import Floats, Plan, Reason, StageTimes

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12)  # an engine compiles each of them, and the largest size of the policy
TARGET_LATE_RATE = 0.001  # target share of late decisions among those that were planned to be in time
MARGIN_STEP = 0.1  # added to the log of the margin by a late decision, taken back by 1 / TARGET_LATE_RATE timely ones
START_MARGIN = 0.1  # of the log: a tenth more than the predicted time, until it is known how often that is exceeded
MAX_MARGIN = 0.7  # of the log: twice the predicted time; a larger margin would take too long to shrink again
SETTLE_DECISIONS = 10  # after a late decision, this many further ones do not raise the margin: a stall counts once


class Planner:
    """Follows a policy as far as the deadline allows. Its plans depend only on its latency models and its margin.

    It never plans past the deadline, except that it always plans at least one view. Frames without time for one view
    may be dropped by the loop before they are planned.

    It multiplies predicted times by a safety margin, which it learns from the outcome of its plans: each late decision
    that could have been shorter makes the margin larger by a tenth, each timely one smaller by a ten-thousandth, so
    that one decision in a thousand is late in the long run (a stochastic approximation of that quantile, after Robbins
    and Monro), and as many views are run as that allows. The margin is a tenth at first, as one that is too small is
    noticed by late decisions alone.

    Args:
        policy: The policy to follow.
        view_latency: Latency model of computing and running n views and averaging their probabilities.
        predictor_latency: Latency model of the loss predictor; None for a policy that ranks no views.
        large_latency: Latency model of one view on the large classifier; None for a policy without one.
    """

    def __init__(
        self,
        policy: Policy,
        view_latency: LatencyModel,
        predictor_latency: LatencyModel | None = None,
        large_latency: LatencyModel | None = None,
    ) -> None:
        self.policy, self.view_latency, self.predictor_latency = policy, view_latency, predictor_latency
        self.large_latency = large_latency or LatencyModel()
        self.batch_sizes = batch_sizes(policy.max_views)
        self._log_margin = START_MARGIN  # logarithm of the factor that predicted times are multiplied by
        self._since_late = SETTLE_DECISIONS
        self._left_out_large = False  # for lack of time, by the last plan

    def seconds(self, count: int) -> float:
        """Returns the time to plan with for `count` views: with the safety margin, except for a single view.

        A single view has no margin, as there is no plan with fewer views.

        Args:
            count: Number of views.
        """
        seconds = self.view_latency.seconds(count)
        return self.with_margin(seconds) if count > 1 else seconds

    def with_margin(self, seconds: float) -> float:
        """Returns a predicted time with the safety margin."""
        return seconds * math.exp(self._log_margin)

    def usable_seconds(self, time_left: float) -> float:
        """Returns how much time may be planned, by usual times, so that the end rarely comes later than `time_left`."""
        return time_left / math.exp(self._log_margin) - self.view_latency.margin()

    def learn(self, *, late: bool, could_be_shorter: bool) -> None:
        """Adapts the safety margin to the outcome of a plan.

        Args:
            late: Whether the decision was made after the time that was left for it.
            could_be_shorter: Whether less could have been run: several views, or the loss predictor.
        """
        self._since_late += 1
        if not late:
            self._log_margin = max(0.0, self._log_margin - TARGET_LATE_RATE * MARGIN_STEP)
        elif self._since_late > SETTLE_DECISIONS and could_be_shorter:
            self._log_margin = min(self._log_margin + MARGIN_STEP, MAX_MARGIN)
            self._since_late = 0

    def observe(self, plan: Plan, times: StageTimes, views_run: int, *, late: bool, large_seconds: float = 0.0) -> None:
        """Adapts the latency models and the safety margin to a decision on one frame.

        Args:
            plan: What was planned.
            times: Seconds that each stage took.
            views_run: Number of views that were run.
            late: Whether the decision was made after the time that was left for it.
            large_seconds: Seconds of `times.infer` that the large classifier took.
        """
        if self.predictor_latency and not plan.predicted_losses:
            self.predictor_latency.follow(self.view_latency)
        elif self.predictor_latency:
            self.predictor_latency.add(1, times.rank)
        self.learn(late=late, could_be_shorter=len(plan.views) > 1 or bool(plan.predicted_losses))
        if on_large := plan.views[views_run - 1].startswith(LARGE):
            self.large_latency.add(1, large_seconds)
        own = views_run - on_large
        batch_size, calls = (1, own) if self.policy.exits_early else (own, 1)
        self.view_latency.add(batch_size, (times.views + times.infer + times.aggregate - large_seconds) / calls)
        if self._left_out_large:
            self.large_latency.follow(self.view_latency)

    def has_time_to_predict(self, time_left: float) -> bool:
        """Returns whether the policy ranks views, and the loss predictor and one view fit into the time left."""
        return (
            self.predictor_latency is not None
            and self.with_margin(self.predictor_latency.seconds(1) + self.view_latency.seconds(1)) <= time_left
        )

    def largest_batch(self, max_views: int, time_left: float) -> int:
        """Returns the largest batch size up to `max_views` that fits into `time_left` seconds; 0 if none does."""
        largest = 0
        for size in self.batch_sizes:
            if size > max_views or self.seconds(size) > time_left:
                break
            largest = size
        return largest

    def plan(self, losses: Floats | None, time_left: float, rng: np.random.Generator, views_before: int = 0) -> Plan:
        """Returns the views to run on one frame.

        Args:
            losses: float32 [1, V], the predicted loss of each of the policy's views; None if none were predicted.
            time_left: Seconds to the deadline; infinity without one.
            rng: Random generator of policies that draw views.
            views_before: Number of views that were run on earlier frames of the same object; see `Policy.choose`.

        Raises:
            UsageError: `views_before` is no such number.
        """
        policy, before = self.policy, check_views_before(views_before)
        no_ranking = policy.needs_predictor and losses is None
        indices = [] if no_ranking else policy.choose(losses, rng, views_before=before)[0].tolist()
        names, weights = policy.fallback_views() if no_ranking else policy.views_for(indices)
        # With an early exit, views run one by one, and the time is checked before each: any number may be planned.
        fitting = self.largest_batch(1 if policy.exits_early else len(names), time_left)
        count = len(names) if policy.exits_early and fitting else max(fitting, 1)
        names, weights, on_large = names[:count], weights[:count], self._plans_large(count, time_left) and bool(fitting)
        if on_large:
            names, weights = policy.with_large(names, weights)
        predicted: tuple[float, ...] = ()
        if losses is not None:
            predicted = tuple(float(losses[0, index]) for index in indices for _ in range(policy.images_per_view))
            predicted = predicted[:count] + predicted[:1] * on_large
        reason: Reason = "policy"
        if not fitting:
            reason = "past_deadline"
        elif no_ranking:
            reason = "no_time_to_rank"
        elif len(names) < policy.planned_views:
            reason = "budget"
        expected = self.seconds(1 if policy.exits_early else count)
        if on_large and not policy.exits_early:
            expected += self.with_margin(self.large_latency.seconds(1))
        return Plan(
            views=names,
            weights=weights,
            predicted_losses=predicted,
            planned_views=policy.planned_views,
            time_left=time_left,
            expected_seconds=expected if expected else math.nan,
            reason=reason,
        )

    def _plans_large(self, count: int, time_left: float) -> bool:
        """Returns whether the large classifier is planned after all views of the policy.

        With an early exit it may be planned in any case, as the time is checked again before it runs.
        """
        self._left_out_large = False
        if not self.policy.large or self.policy.exits_early:
            return self.policy.large
        seconds = self.view_latency.seconds(count) + self.large_latency.seconds(1)
        self._left_out_large = count < self.policy.max_views or self.with_margin(seconds) > time_left
        return not self._left_out_large

    def steps(self, plan: Plan, time_left: Callable[[], float]) -> Callable[[int], int]:
        """Returns the `steps` of `run_views`: all views at once, or with an early exit one by one while there is time.

        Args:
            plan: A plan of this planner.
            time_left: Function that returns the seconds to the deadline.
        """
        count = len(plan.views)
        if not self.policy.exits_early:
            return lambda done: count - done

        def next_step(done: int) -> int:
            if not 0 < done < count:
                return int(done < count)
            on_large = plan.views[done].startswith(LARGE)
            latency = self.large_latency if on_large else self.view_latency
            fits = self.with_margin(latency.seconds(1)) <= time_left()
            self._left_out_large = on_large and not fits
            return int(fits)

        return next_step


def batch_sizes(max_views: int) -> tuple[int, ...]:
    """Returns the batch sizes that a planner chooses from for a policy of at most `max_views` views."""
    return (*(size for size in BATCH_SIZES if size < max_views), max_views)
