"""How fast the loop is, and what it had to leave out: quantiles in bounded memory, and a tally."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields

from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Decision, StageTimes

RELATIVE_ERROR = 0.01
SMALLEST = 1e-6  # seconds; nothing this loop times is shorter
LARGEST = 1e3  # seconds; a frame this old is a broken camera, not a slow one

# With bounds that grow by this ratio, every value of a bin lies within RELATIVE_ERROR of one value in it.
_LOG_RATIO = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_BINS = math.ceil(math.log(LARGEST / SMALLEST) / _LOG_RATIO)  # 1037: 8 kB, whatever the number of values


@dataclass(frozen=True)
class Drops:
    """Frames of a source that nobody decided on, by cause.

    Attributes:
        decode: frames that were damaged.
        superseded: frames of a live source that were replaced by a newer one before they were looked at.
        late: frames of a live source that were too old to be decided on before their deadline.
        engine: frames on which the engine failed.
        source: how often a live source was lost; how many frames with it, nobody can say.
    """

    decode: int = 0
    superseded: int = 0
    late: int = 0
    engine: int = 0
    source: int = 0

    @property
    def total(self) -> int:
        """Frames dropped, whatever the cause; without those that were lost with their source."""
        return self.decode + self.superseded + self.late + self.engine

    def plus(self, other: Drops) -> Drops:
        """Both together."""
        return Drops(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def since(self, before: Drops) -> Drops:
        """What was dropped after `before` was noted."""
        return Drops(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(before), strict=True)))


@dataclass(frozen=True)
class Spread:
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

    def spread(self) -> Spread | None:
        """A frozen summary; None when nothing was added."""
        if not self.count:
            return None
        return Spread(
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


@dataclass(frozen=True)
class LoopReport:
    """What a loop did.

    Attributes:
        frames: frames the source gave: decided and dropped ones.
        decided: frames decided on.
        late: decisions that came after their deadline.
        drops: frames not decided on, by cause.
        seconds: how long the loop ran.
        decision_time: how long the decisions took; None when there was none.
        frame_age: how old the frames were when decided, from their capture; None when there was none.
        stages: how long each stage of a decision took, and "sink": all sinks together; empty when there was none.
        looks: how many views were run, and on how many frames; as pairs, the fewest first.
    """

    frames: int
    decided: int
    late: int
    drops: Drops
    seconds: float
    decision_time: Spread | None
    frame_age: Spread | None
    stages: Mapping[str, Spread]
    looks: tuple[tuple[int, int], ...]

    @property
    def decisions_per_second(self) -> float:
        """Decisions a second over the whole run, with capture, drawing and writing; 0 for an empty run."""
        return self.decided / self.seconds if self.seconds > 0 else 0.0

    @property
    def mean_looks(self) -> float:
        """Views a decision; 0 for an empty run."""
        return sum(count * frames for count, frames in self.looks) / self.decided if self.decided else 0.0


class Tally:
    """Counts what becomes of the frames of one run, in bounded memory. For use by one thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the run.

        Args:
            clock: gives monotonic seconds.
        """
        self._clock = clock
        self._started = clock()
        self._late = 0
        self._decision_time = Quantiles()
        self._frame_age = Quantiles()
        self._stages = {each.name: Quantiles() for each in fields(StageTimes)} | {"sink": Quantiles()}
        self._looks: Counter[int] = Counter()

    def add(self, decision: Decision) -> None:
        """Counts one decision."""
        self._late += decision.late
        self._decision_time.add(decision.times.total)
        self._frame_age.add(decision.age)
        self._looks[len(decision.views)] += 1
        for name, seconds in vars(decision.times).items():
            self._stages[name].add(seconds)

    def wrote(self, seconds: float) -> None:
        """Counts how long the sinks took for one decision."""
        self._stages["sink"].add(seconds)

    def report(self, drops: Drops) -> LoopReport:
        """The run so far, with the frames that were dropped."""
        decided = self._decision_time.count
        spreads = {name: each.spread() for name, each in self._stages.items()}
        return LoopReport(
            frames=decided + drops.total,
            decided=decided,
            late=self._late,
            drops=drops,
            seconds=self._clock() - self._started,
            decision_time=self._decision_time.spread(),
            frame_age=self._frame_age.spread(),
            stages={name: spread for name, spread in spreads.items() if spread},
            looks=tuple(sorted(self._looks.items())),
        )
