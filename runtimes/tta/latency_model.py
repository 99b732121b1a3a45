"""Predicts how long a call takes: a high quantile that follows a slow period, and its end, within three calls."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping

PACE_CALLS = 5  # the device's pace is the median of the last calls: three slow calls change it, one does not
NOISE_CALLS = 512  # latest calls from which the margin is computed: 17 s at 30 frames a second
EXCEEDED_SHARE = 0.05  # share of these calls that may take longer than predicted; the planner's own margin covers them
LEARNING_RATE = 0.05  # how far one call moves the logarithm of the typical time of its batch size
MAX_CHANGE = 0.1  # difference of logarithms that counts, so that one slow call changes little
RETURN_RATE = 0.0025  # how far the logarithm moves back to that of the warm-up meanwhile
FORGETTING_RATE = 0.005  # of a network's pace relative to another one, at each call of that one
MAX_BATCH_COST = 1.1  # a batch of n takes at most this times n single calls, whatever one slow call in the warm-up says
MIN_SECONDS = 1e-6  # the shortest time that is assumed, as the fake clock of a test may stand still


class LatencyModel:
    """Predicts the seconds that n views take as one batch, for any n >= 1. For use by one thread.

    The prediction is the typical time of n views times the device's pace, plus a margin for noise. The pace is shared
    by all n; it is the median over the last few calls of the observed time relative to the typical one. The margin is a
    number of seconds: 95 % of the last 512 calls took at most so much longer than typical time times pace. It does not
    grow with n, as another program that interrupts a call takes the same time whatever n is. So the model follows a
    slow period after three calls, and its end after three more; one slow call changes nothing, and many do.

    The typical time is that of the warm-up, slowly adapted to calls that followed calls of other sizes: how long a call
    takes beside others of its own size tells about the pace alone. What all sizes have in common is left to the pace,
    too, by a slow return to the warm-up. Without both, the typical time of a size that runs again and again wandered
    away from those of sizes that do not, as long calls are longer than short ones are short.

    Args:
        measured: Seconds of some batch sizes n, from a warm-up; may be empty.
    """

    def __init__(self, measured: Mapping[int, float] | None = None) -> None:
        self._measured = {n: max(seconds, MIN_SECONDS) for n, seconds in sorted((measured or {}).items())}
        self._typical = dict(self._measured)
        self._sizes: deque[int] = deque(maxlen=PACE_CALLS)
        self._ratios: deque[float] = deque(maxlen=PACE_CALLS)
        self._pace = 1.0
        self._relative: float | None = None  # logarithm of the pace relative to a model that is followed
        self._noise: deque[float] = deque(maxlen=NOISE_CALLS)
        self._sorted_noise: list[float] = []

    def seconds(self, n: int) -> float:
        """Returns a time that `n` views rarely exceed, in seconds.

        As long as nothing was measured, it is 0 for one view and infinity for more, so that one view is tried first.
        """
        if not self._typical:
            return 0.0 if n == 1 else float("inf")
        usual = self.usual_seconds(n)
        return usual + self._margin(usual)

    def usual_seconds(self, n: int) -> float:
        """Returns the time that `n` views usually take now, in seconds: typical time times pace, without the margin.

        Of several batches, the usual times add up, and the margin is needed once.
        """
        if not self._typical:
            return 0.0 if n == 1 else float("inf")
        return self._typical_seconds(n) * self._pace

    def margin(self) -> float:
        """Returns the seconds by which a call rarely exceeds its usual time."""
        return self._margin(self.usual_seconds(1))

    def add(self, n: int, seconds: float) -> None:
        """Adapts the model to one call.

        Args:
            n: Number of views of the call.
            seconds: Time that it took; one that is not finite tells nothing.
        """
        if not math.isfinite(seconds):
            return
        seconds, self._relative = max(seconds, MIN_SECONDS), None
        if n not in self._typical:  # one call cannot tell the typical time of n views from the device's present pace
            self._measured[n] = self._typical_seconds(n) if self._typical else seconds
            self._typical = dict(sorted({**self._typical, n: self._measured[n]}.items()))
        typical = self._typical_seconds(n)
        self._add_noise(max(seconds - typical * self._pace, 0.0))
        ratio = seconds / typical
        if sum(size != n for size in self._sizes) > PACE_CALLS // 2:  # so the pace is that of other sizes
            change = LEARNING_RATE * min(max(math.log(ratio / self._pace), -MAX_CHANGE), MAX_CHANGE)
            self._typical[n] = typical * math.exp(change) * (self._measured[n] / typical) ** RETURN_RATE
        self._sizes.append(n)
        self._ratios.append(ratio)
        self._pace = statistics.median(self._ratios)

    def follow(self, other: LatencyModel) -> None:
        """Takes over the latest pace of another model that ran on the same device while this one did not.

        Without this, a network that the planner skips in a slow period would keep its slow prediction, and be skipped
        forever. What is slow in this network alone is forgotten slowly, so that it is tried again at times.

        Args:
            other: Latency model of the network that ran.
        """
        if other._ratios:
            if self._relative is None:
                self._relative = math.log(self._pace / other._pace)
            self._relative *= 1 - FORGETTING_RATE
            self._ratios.append(other._ratios[-1] * math.exp(self._relative))
            self._pace = statistics.median(self._ratios)
            self._add_noise(0.0)

    def _typical_seconds(self, n: int) -> float:
        """Returns the seconds of n views at pace 1: as measured, interpolated, or in proportion to the largest size."""
        sizes = list(self._typical)
        index = bisect_left(sizes, n)
        if index == len(sizes):
            seconds = self._typical[sizes[-1]] * n / sizes[-1]
        elif sizes[index] == n or index == 0:
            seconds = self._typical[sizes[index]]
        else:
            low, high = sizes[index - 1], sizes[index]
            share = (n - low) / (high - low)
            seconds = (1 - share) * self._typical[low] + share * self._typical[high]
        return min(seconds, MAX_BATCH_COST * n * self._typical[1]) if n > 1 and 1 in self._typical else seconds

    def _add_noise(self, seconds: float) -> None:
        if len(self._noise) == NOISE_CALLS:
            del self._sorted_noise[bisect_left(self._sorted_noise, self._noise[0])]
        self._noise.append(seconds)
        insort(self._sorted_noise, seconds)

    def _margin(self, usual: float) -> float:
        """Returns the seconds by which a call may exceed the usual time; after few calls, at least usual / calls."""
        count = len(self._sorted_noise)
        return max(self._sorted_noise[count - 1 - int(EXCEEDED_SHARE * count)], usual / count) if count else 0.0
