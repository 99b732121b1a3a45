"""The account of a run: what became of its frames, how long it took, and how it is just now."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from allweather.runtimes.loop.latency import LatencySummary, Quantiles
from allweather.runtimes.types import Decision, Drops, StageTimes


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
        stages: how long each stage of a decision took; "capture": reading and decoding a frame, where that is not
            waiting for a camera; "sink": all sinks together. Empty when there was no decision.
        looks: how many views were run, and on how many frames; as pairs, the fewest first.
    """

    frames: int
    decided: int
    late: int
    drops: Drops
    seconds: float
    decision_time: LatencySummary | None
    frame_age: LatencySummary | None
    stages: Mapping[str, LatencySummary]
    views_run: tuple[tuple[int, int], ...]

    @property
    def decisions_per_second(self) -> float:
        """Decisions a second over the whole run, with capture, drawing and writing; 0 for an empty run."""
        return self.decided / self.seconds if self.seconds > 0 else 0.0

    @property
    def mean_views(self) -> float:
        """Views a decision; 0 for an empty run."""
        return sum(count * frames for count, frames in self.views_run) / self.decided if self.decided else 0.0


@dataclass(frozen=True)
class Heartbeat:
    """How a loop is just now.

    Attributes:
        turned: when it last decided or woke from waiting for its camera, in seconds of the clock.
        decided: when it last decided; None when it has not yet.
    """

    turned: float
    decided: float | None


class LoopStats:
    """Counts what becomes of the frames of one run, in bounded memory. One thread counts, any may ask.

    Args:
        clock: gives monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._passed = Drops()
        self._drops: Callable[[], Drops] = Drops
        self._decision_time = Quantiles()
        self._frame_age = Quantiles()
        self._stages = {name: Quantiles() for name in ("capture", *(each.name for each in fields(StageTimes)), "sink")}
        self._looks: Counter[int] = Counter()
        self._late = 0
        self._started = self._turned = clock()
        self._decided: float | None = None

    def start(self, drops: Callable[[], Drops]) -> None:
        """Starts the run now.

        Args:
            drops: tells what the camera has dropped so far.
        """
        before = drops()
        self._drops = lambda: drops().since(before)
        self._started = self._turned = self.clock()

    def turn(self) -> None:
        """Notes that the loop is alive, though it has nothing to decide on."""
        self._turned = self.clock()

    def pass_over(self, dropped: Drops) -> None:
        """Counts frames that the loop itself passes over."""
        with self._lock:
            self._passed = self._passed.plus(dropped)
            self._turned = self.clock()

    def add(self, decision: Decision) -> None:
        """Counts one decision."""
        with self._lock:
            self._late += decision.late
            self._decision_time.add(decision.times.total)
            self._frame_age.add(decision.age)
            self._looks[len(decision.views)] += 1
            for name, seconds in vars(decision.times).items():
                self._stages[name].add(seconds)
            self._turned = self._decided = self.clock()

    def captured(self, seconds: float) -> None:
        """Counts how long it took to read one frame."""
        with self._lock:
            self._stages["capture"].add(seconds)

    def wrote(self, seconds: float) -> None:
        """Counts how long the sinks took for one decision."""
        with self._lock:
            self._stages["sink"].add(seconds)

    def heartbeat(self) -> Heartbeat:
        """How the loop is just now."""
        return Heartbeat(self._turned, self._decided)

    def at_most(self, bounds: Sequence[float]) -> tuple[list[int], list[int]]:
        """How many decisions took at most so many seconds, and how many frames were at most so old; for each bound."""
        with self._lock:
            return self._decision_time.at_most(bounds), self._frame_age.at_most(bounds)

    def report(self) -> LoopReport:
        """The run so far."""
        with self._lock:
            drops = self._drops().plus(self._passed)
            decided = self._decision_time.count
            spreads = {name: each.summary() for name, each in self._stages.items()}
            return LoopReport(
                frames=decided + drops.total,
                decided=decided,
                late=self._late,
                drops=drops,
                seconds=self.clock() - self._started,
                decision_time=self._decision_time.summary(),
                frame_age=self._frame_age.summary(),
                stages={name: summary for name, summary in spreads.items() if summary},
                views_run=tuple(sorted(self._looks.items())),
            )
