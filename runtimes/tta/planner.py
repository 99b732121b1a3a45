"""Which views to run on a frame in the time left: fewer, then without ranking, at last one look."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Floats, Plan, Reason

SIZES = (1, 2, 3, 4, 6, 8, 12)  # of batches, and the policy's own: an engine compiles each of them
TARGET_LATE_RATE = 0.001  # share of decisions that may be late though they were planned to be in time
MARGIN_STEP = 0.1  # by which a late one makes the planner more with_margin; 1 / LATE good ones take it back
MAX_MARGIN = 0.7  # logarithm: plans are made for at most twice the costs, or a bad minute would be felt for long
SETTLE_DECISIONS = 10  # decisions after a late one whose lateness teaches nothing more: a stall is one event


class Planner:
    """Follows a policy as far as the deadline allows. Deterministic given its costs.

    It never plans past the deadline, unless there is no time for one look: then it looks once nonetheless, and it is
    for the loop to drop such frames.

    What it allows for beyond the costs is learned from what comes of its plans: each late decision that could have been
    shorter makes it a tenth more careful, each good one a ten-thousandth less, so that one in a thousand is late in the
    long run (a stochastic approximation of that quantile, after Robbins and Monro), and as many looks are taken as that
    allows.

    Args:
        policy: what is wanted.
        looks: costs of making and running n views and of the vote.
        rank: costs of the loss predictor; None for a policy that ranks nothing.
    """

    def __init__(
        self, policy: Policy, view_latency: LatencyModel, predictor_latency: LatencyModel | None = None
    ) -> None:
        self.policy, self.view_latency, self.predictor_latency = policy, view_latency, predictor_latency
        self.sizes = sizes(policy.max_views)
        self._margin_log = 0.0  # logarithm of the factor that costs are multiplied by
        self._since_late = SETTLE_DECISIONS

    def seconds(self, count: int) -> float:
        """What running so many views is planned with. Caution is for what can be left out: not for the first look."""
        cost = self.view_latency.seconds(count)
        return self.with_margin(cost) if count > 1 else cost

    def with_margin(self, seconds: float) -> float:
        """Costs with what experience adds to them."""
        return seconds * math.exp(self._margin_log)

    def learn(self, plan: Plan, late: bool) -> None:
        """Learns from the end of a decision.

        Args:
            plan: of this planner.
            late: whether it ended after the time that was left.
        """
        self._since_late += 1
        if not late:
            self._margin_log = max(0.0, self._margin_log - TARGET_LATE_RATE * MARGIN_STEP)
        elif self._since_late > SETTLE_DECISIONS and (len(plan.views) > 1 or plan.predicted_losses):
            self._margin_log = min(self._margin_log + MARGIN_STEP, MAX_MARGIN)
            self._since_late = 0

    def has_time_to_predict(self, left: float) -> bool:
        """Whether the loss predictor and one look fit into `left` seconds, and the policy ranks."""
        return (
            self.predictor_latency is not None
            and self.with_margin(self.predictor_latency.seconds(1) + self.view_latency.seconds(1)) <= left
        )

    def fitting(self, wanted: int, left: float) -> int:
        """The largest size of batch up to `wanted` that fits into `left` seconds; 0 where not one look does."""
        most = 0
        for size in self.sizes:
            if size > wanted or self.seconds(size) > left:
                break
            most = size
        return most

    def plan(self, losses: Floats | None, left: float, rng: np.random.Generator) -> Plan:
        """What to do with one frame.

        Args:
            losses: float32 [1, V], predicted; None where nothing was ranked.
            left: seconds to the deadline; infinity without one.
            rng: of policies that draw.
        """
        policy = self.policy
        unranked = policy.needs_predictor and losses is None
        places = [0] if unranked else policy.choose(losses, rng)[0].tolist()
        names, weights = policy.views_for(places)  # unranked, it is the frame as it is, and perhaps mirrored
        wanted = policy.max_views
        # One by one, a policy that stops may take as many as the clock allows; that is asked before each.
        fits = self.fitting(1 if policy.exits_early else len(names), left)
        count = len(names) if policy.exits_early and fits else max(fits, 1)
        known: tuple[float, ...] = ()
        if losses is not None:
            known = tuple(float(losses[0, place]) for place in places for _ in range(policy.images_per_view))
        reason: Reason = "policy"
        if not fits:
            reason = "past_deadline"
        elif unranked:
            reason = "no_time_to_rank"
        elif count < wanted:
            reason = "budget"
        expected = self.seconds(1 if policy.exits_early else count)
        return Plan(
            names[:count], weights[:count], known[:count], wanted, left, expected if expected else math.nan, reason
        )

    def steps(self, plan: Plan, left: Callable[[], float]) -> Callable[[int], int]:
        """How many views to run next after so many, 0 to stop: all at once, or one by one while time lasts.

        Args:
            plan: of this planner.
            left: tells the seconds to the deadline.
        """
        count = len(plan.views)
        if not self.policy.exits_early:
            return lambda done: count - done
        return lambda done: int(
            done < count and (done == 0 or self.with_margin(self.view_latency.seconds(1)) <= left())
        )


def sizes(most: int) -> tuple[int, ...]:
    """Sizes of batches that are chosen from where a policy wants `most` looks."""
    return (*(size for size in SIZES if size < most), most)
