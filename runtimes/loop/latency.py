"""Quantiles of durations in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allweather.runtimes.errors import UsageError

RELATIVE_ERROR = 0.01
MIN_SECONDS = 1e-6  # nothing that the loop measures is shorter
MAX_SECONDS = 1e3  # a frame this old comes from a broken camera, not from a slow one

# With bin edges that grow by this ratio, all values of a bin are within RELATIVE_ERROR of one value, `_bin_center`.
_LOG_RATIO = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_BINS = math.ceil(math.log(MAX_SECONDS / MIN_SECONDS) / _LOG_RATIO)  # 1037: 8 kB, however many values are added


@dataclass(frozen=True)
class LatencySummary:
    """Distribution of durations, in seconds. Count, minimum, mean and maximum are exact.

    Attributes:
        count: Number of durations, at least 1.
        minimum: The shortest duration.
        mean: The mean duration.
        p50: Median: half of the durations are at most this long. Within 1 %, as are the other quantiles.
        p90: 90 % of the durations are at most this long.
        p99: 99 % of the durations are at most this long.
        maximum: The longest duration. It is never clipped, because the tail decides whether deadlines are kept.
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

    A quantile is within 1 % of the exact one between 1 us and 1000 s. Below, it is off by less than 1 us; above, the
    largest value is returned. Of `n` values the quantile `q` is the smallest value that at least `q * n` of them do not
    exceed (NumPy's "inverted_cdf"). For use by one thread.
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
        """Adds one duration.

        Raises:
            UsageError: It is negative, infinite or nan.
        """
        if not 0 <= seconds < math.inf:
            raise UsageError(f"a duration is a finite number of seconds >= 0; got {seconds}")
        self.count += 1
        self._sum += seconds
        self._minimum = min(self._minimum, seconds)
        self._maximum = max(self._maximum, seconds)
        if seconds < MIN_SECONDS:
            self._below += 1
        elif seconds >= MAX_SECONDS:
            self._above += 1
        else:
            index = int(math.log(seconds / MIN_SECONDS) / _LOG_RATIO)
            self._bins[min(index, _BINS - 1)] += 1

    def merge(self, other: Quantiles) -> None:
        """Adds every duration that was added to `other`; the result is the same as adding each of them here."""
        self.count += other.count
        self._sum += other._sum
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)
        self._below += other._below
        self._above += other._above
        self._bins = [mine + theirs for mine, theirs in zip(self._bins, other._bins, strict=True)]

    def quantile(self, q: float) -> float:
        """Returns the duration in seconds that a share `q` of all durations does not exceed, within the stated error.

        Args:
            q: 0..1; 0.5 is the median, 0 and 1 are the exact minimum and maximum.

        Raises:
            UsageError: `q` is out of range, or nothing has been added.
        """
        if not 0 <= q <= 1 or not self.count:
            raise UsageError(f"a quantile needs 0 <= q <= 1 and at least one value; got q={q} of {self.count} values")
        rank = max(1, math.ceil(q * self.count))
        if rank == 1:
            return self._minimum
        if rank > self.count - self._above:
            return self._maximum
        cumulative = self._below
        if rank <= cumulative:
            return self._minimum
        for index, count in enumerate(self._bins):
            cumulative += count
            if rank <= cumulative:
                return self._clamp(_bin_center(index))
        return self._maximum

    def cumulative_counts(self, bounds: Sequence[float]) -> list[int]:
        """Returns how many durations do not exceed each bound, within the stated error.

        Args:
            bounds: Upper bounds in seconds, in ascending order.
        """
        edges = [MIN_SECONDS * math.exp((index + 1) * _LOG_RATIO) * (1 - 1e-9) for index in range(_BINS)]
        counts, cumulative, index = [], self._below, 0
        for bound in bounds:
            while index < _BINS and edges[index] <= bound:
                cumulative += self._bins[index]
                index += 1
            counts.append(self.count if bound >= self._maximum else cumulative)
        return counts

    def summary(self) -> LatencySummary | None:
        """Returns the distribution of the durations; None if nothing has been added."""
        if not self.count:
            return None
        return LatencySummary(
            count=self.count,
            minimum=self._minimum,
            mean=self._clamp(self._sum / self.count),  # a rounded sum could leave the range by one ulp
            p50=self.quantile(0.5),
            p90=self.quantile(0.9),
            p99=self.quantile(0.99),
            maximum=self._maximum,
        )

    def _clamp(self, seconds: float) -> float:
        return min(max(seconds, self._minimum), self._maximum)


def _bin_center(index: int) -> float:
    """Returns the value within RELATIVE_ERROR e of all values of a bin: low * (1 + e) = high * (1 - e)."""
    return MIN_SECONDS * math.exp(index * _LOG_RATIO) * (1 + RELATIVE_ERROR)
