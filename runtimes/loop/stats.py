"""Statistics of a loop: what became of its frames, how long the stages took, and when it was last active."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from allweather.runtimes.camera_health.states import CameraHealth
from allweather.runtimes.loop.latency import LatencySummary, Quantiles
from allweather.runtimes.tta.policy import LARGE
from allweather.runtimes.types import Decision, Drops, Reason, StageTimes

CONFIDENCE_BINS = 10


@dataclass(frozen=True)
class LoopReport:
    """The statistics of a loop.

    Attributes:
        frames: Number of frames of the source that were decided on or dropped.
        decided: Number of frames decided on.
        late: Number of frames with a decision that came after its deadline.
        drops: Number of frames not decided on, by cause.
        seconds: How long the loop has run.
        decision_time: How long the decisions on a frame took, all its objects together; None before the first one.
        frame_age: Age of the frames when they were decided on, counted from their capture; None before the first one.
        stages: How long each stage of a decision took. Besides the stages of `StageTimes` there are "capture", reading
            and decoding a frame of a file or iterable, and "sink", all sinks together. Stages that never ran are
            missing.
        views_per_frame: Pairs (number of views run, number of frames with it), in ascending order.
        labels: Number of decisions for each label, the most frequent first; objects without a decision have none.
        confidences: Number of decisions by their confidence: up to 0.1, up to 0.2, ..., up to 1.
        mean_confidence: Mean confidence of all decisions; nan before the first one.
        health: Whether the camera sees well; None before the first frame, and for a folder of images.
        reasons: Number of decisions by what set the number of their views; see `Decision.reason`.
        large_runs: Number of decisions for which the large classifier ran.
    """

    frames: int
    decided: int
    late: int
    drops: Drops
    seconds: float
    decision_time: LatencySummary | None
    frame_age: LatencySummary | None
    stages: Mapping[str, LatencySummary]
    views_per_frame: tuple[tuple[int, int], ...]
    labels: Mapping[str, int]
    confidences: tuple[int, ...]
    mean_confidence: float
    health: CameraHealth | None = None
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    large_runs: int = 0

    @property
    def decisions_per_second(self) -> float:
        """Frames decided on per second over the whole run, with capture, drawing and writing; 0 for an empty run."""
        return self.decided / self.seconds if self.seconds > 0 else 0.0

    @property
    def views_run(self) -> int:
        """Number of views run on all frames together."""
        return sum(num_views * frames for num_views, frames in self.views_per_frame)

    @property
    def mean_views(self) -> float:
        """Mean number of views per frame; 0 for an empty run."""
        return self.views_run / self.decided if self.decided else 0.0


@dataclass(frozen=True)
class Heartbeat:
    """When a loop was last active.

    Attributes:
        last_alive: When it last decided, dropped a frame, or reported that it waits for its camera; in seconds of the
            loop's clock.
        last_decision: When it last decided; None before the first decision.
    """

    last_alive: float
    last_decision: float | None


class LoopStats:
    """Counts what becomes of the frames of one run, in bounded memory. One thread counts, and any thread may read.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._loop_drops = Drops()
        self._camera_drops: Callable[[], Drops] = Drops
        self._decision_time = Quantiles()
        self._frame_age = Quantiles()
        self._decision_stages = tuple(field.name for field in fields(StageTimes))
        self._stages = {stage: Quantiles() for stage in ("capture", *self._decision_stages, "sink")}
        self._decided = 0
        self._labels: Counter[str] = Counter()
        self._confidences, self._confidence_sum = [0] * CONFIDENCE_BINS, 0.0
        self._views_per_frame: Counter[int] = Counter()
        self._reasons: Counter[Reason] = Counter()
        self._large_runs = 0
        self._late = 0
        self._started = self._last_alive = clock()
        self._last_decision: float | None = None
        self._health: CameraHealth | None = None

    @property
    def health(self) -> CameraHealth | None:
        """Whether the camera sees well; None before the first frame, and for a folder of images."""
        return self._health

    def start(self, camera_drops: Callable[[], Drops]) -> None:
        """Starts the run.

        Args:
            camera_drops: Returns the number of frames that the camera has dropped so far, by cause. Those that it
                dropped before the start are not counted.
        """
        before = camera_drops()
        self._camera_drops = lambda: camera_drops().since(before)
        self._started = self._last_alive = self.clock()

    def mark_alive(self) -> None:
        """Notes that the loop is alive while it waits for a frame."""
        self._last_alive = self.clock()

    def add_drops(self, drops: Drops) -> None:
        """Counts frames that the loop itself drops."""
        with self._lock:
            self._loop_drops = self._loop_drops.plus(drops)
            self._last_alive = self.clock()

    def set_health(self, health: CameraHealth) -> None:
        """Keeps how well the camera sees now."""
        self._health = health

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Counts a frame that was decided on.

        Args:
            decisions: One for the frame or for each of its objects, of which there may be none.
        """
        with self._lock:
            self._decided += 1
            self._late += any(decision.late for decision in decisions)
            for decision in decisions:
                self._reasons[decision.reason] += 1
                self._large_runs += any(name.startswith(LARGE) for name in decision.views)
                if decision.label:  # an object that there was no time for has none
                    self._labels[decision.label] += 1
                    self._confidences[_bin_of(decision.confidence)] += 1
                    self._confidence_sum += decision.confidence
            self._views_per_frame[sum(len(decision.views) for decision in decisions)] += 1
            if decisions:
                self._decision_time.add(sum(decision.times.total for decision in decisions))
                self._frame_age.add(max(decision.age for decision in decisions))
                for stage in self._decision_stages:
                    self._stages[stage].add(sum(getattr(decision.times, stage) for decision in decisions))
            self._last_alive = self._last_decision = self.clock()

    def add_stage_time(self, stage: str, seconds: float) -> None:
        """Counts how long one run of a stage outside the decision took.

        Args:
            stage: "capture" or "sink".
            seconds: The time it took, at least 0.
        """
        with self._lock:
            self._stages[stage].add(seconds)

    def heartbeat(self) -> Heartbeat:
        """Returns when the loop was last active."""
        return Heartbeat(self._last_alive, self._last_decision)

    def cumulative_counts(self, bounds: Sequence[float]) -> tuple[list[int], list[int]]:
        """Returns cumulative histograms.

        Args:
            bounds: Upper bounds in seconds, in ascending order.

        Returns:
            For each bound, the number of decisions that did not take longer; and for each bound, the number of frames
            that were not older when they were decided on.
        """
        with self._lock:
            return self._decision_time.cumulative_counts(bounds), self._frame_age.cumulative_counts(bounds)

    def report(self) -> LoopReport:
        """Returns the statistics of the run so far."""
        with self._lock:
            drops = self._camera_drops().plus(self._loop_drops)
            decided = self._decided
            summaries = {stage: quantiles.summary() for stage, quantiles in self._stages.items()}
            return LoopReport(
                frames=decided + drops.total,
                decided=decided,
                late=self._late,
                drops=drops,
                seconds=self.clock() - self._started,
                decision_time=self._decision_time.summary(),
                frame_age=self._frame_age.summary(),
                stages={stage: summary for stage, summary in summaries.items() if summary},
                views_per_frame=tuple(sorted(self._views_per_frame.items())),
                labels=dict(self._labels.most_common()),
                confidences=tuple(self._confidences),
                mean_confidence=self._confidence_sum / max(sum(self._confidences), 1) if self._labels else math.nan,
                health=self._health,
                reasons=dict(self._reasons.most_common()),
                large_runs=self._large_runs,
            )


def _bin_of(confidence: float) -> int:
    """Returns the index of the bin of a confidence, 0..1; bins contain their upper ends."""
    return min(max(math.ceil(confidence * CONFIDENCE_BINS) - 1, 0), CONFIDENCE_BINS - 1)
