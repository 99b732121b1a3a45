"""Quantiles of durations in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allweather.runtimes.errors import UsageError

RELATIVE_ERROR = 0.01
SMALLEST = 1e-6  # seconds; nothing this loop times is shorter
LARGEST = 1e3  # seconds; a frame this old is a broken camera, not a slow one

# With bounds that grow by this ratio, every value of a bin lies within RELATIVE_ERROR of one value in it.
_LOG_RATIO = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_BINS = math.ceil(math.log(LARGEST / SMALLEST) / _LOG_RATIO)  # 1037: 8 kB, whatever the number of values


@dataclass(frozen=True)
class LatencySummary:
    """How durations are spread, in seconds. Count, minimum, mean and maximum are exact.

    Attributes:
        count: number of durations, >= 1.
        minimum: the shortest.
        mean: their mean.
        p50: half of them are at most this long; within 1 %, as are the other quantiles.
        p90: nine in ten are at most this long.
        p99: 99 in a hundred are at most this long.
        maximum: the longest; never clipped, since the tail is what a deadline meets.
    """

    count: int
    minimum: float
    mean: float
    p50: float
    p90: float
    p99: float
    maximum: float


class Quantiles:
    """Quantiles of durations from a logarithmic histogram: bounded memory, `add` in constant time.

    A quantile is within 1 % of the exact one between 1 us and 1000 s. Below, it is off by less than 1 us;
    above, the largest value stands for all. Of `n` values the quantile `q` is the smallest value that at
    least `q * n` of them do not exceed (numpy's "inverted_cdf"). For use by one thread.
    """

    def __init__(self) -> None:
        """Starts with no values."""
        self.count = 0
        self._sum = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf
        self._below = 0
        self._bins = [0] * _BINS
        self._above = 0

    def add(self, seconds: float) -> None:
        """Counts one duration.

        Raises:
            UsageError: it is negative, infinite or no number.
        """
        if not 0 <= seconds < math.inf:
            raise UsageError(f"a duration is a finite number of seconds >= 0; got {seconds}")
        self.count += 1
        self._sum += seconds
        self._minimum = min(self._minimum, seconds)
        self._maximum = max(self._maximum, seconds)
        if seconds < SMALLEST:
            self._below += 1
        elif seconds >= LARGEST:
            self._above += 1
        else:
            place = int(math.log(seconds / SMALLEST) / _LOG_RATIO)
            self._bins[min(place, _BINS - 1)] += 1

    def merge(self, other: Quantiles) -> None:
        """Counts every duration that `other` has counted; the same as if all had been added here."""
        self.count += other.count
        self._sum += other._sum
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)
        self._below += other._below
        self._above += other._above
        self._bins = [mine + theirs for mine, theirs in zip(self._bins, other._bins, strict=True)]

    def quantile(self, q: float) -> float:
        """The duration (seconds) that a share `q` of all does not exceed, within the stated error.

        Args:
            q: 0..1; 0.5 is the median, 0 and 1 are the exact minimum and maximum.

        Raises:
            UsageError: `q` is out of range, or nothing was added yet.
        """
        if not 0 <= q <= 1 or not self.count:
            raise UsageError(f"a quantile needs 0 <= q <= 1 and a value at least; got q={q} of {self.count}")
        rank = max(1, math.ceil(q * self.count))
        if rank == 1:
            return self._minimum
        if rank > self.count - self._above:
            return self._maximum
        seen = self._below
        if rank <= seen:
            return self._minimum
        for place, number in enumerate(self._bins):
            seen += number
            if rank <= seen:
                return self._clamp(_middle(place))
        return self._maximum

    def at_most(self, bounds: Sequence[float]) -> list[int]:
        """How many durations do not exceed each of some bounds (seconds), within the stated error."""
        edges = [SMALLEST * math.exp((place + 1) * _LOG_RATIO) * (1 - 1e-9) for place in range(_BINS)]
        counts, seen, place = [], self._below, 0
        for bound in bounds:
            while place < _BINS and edges[place] <= bound:
                seen += self._bins[place]
                place += 1
            counts.append(self.count if bound >= self._maximum else seen)
        return counts

    def summary(self) -> LatencySummary | None:
        """A frozen summary; None when nothing was added."""
        if not self.count:
            return None
        return LatencySummary(
            count=self.count,
            minimum=self._minimum,
            mean=self._clamp(self._sum / self.count),  # a rounded sum could leave the range by an ulp
            p50=self.quantile(0.5),
            p90=self.quantile(0.9),
            p99=self.quantile(0.99),
            maximum=self._maximum,
        )

    def _clamp(self, seconds: float) -> float:
        return min(max(seconds, self._minimum), self._maximum)


def _middle(place: int) -> float:
    """The value no further than RELATIVE_ERROR from any value of the bin: low * (1 + e) = high * (1 - e)."""
    return SMALLEST * math.exp(place * _LOG_RATIO) * (1 + RELATIVE_ERROR)
