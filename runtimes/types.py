"""What flows through the loop: a frame comes in, a plan is made within a budget, a decision goes out."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]  # [H, W, 3], RGB, 0..255
Floats: TypeAlias = npt.NDArray[np.float32]

# What settled how often a frame was looked at: all looks of the policy were run; the vote was settled before; the
# deadline left time for fewer; for one without ranking; for none, and one was run nonetheless.
Reason = Literal["policy", "early_exit", "budget", "no_time_to_rank", "past_deadline"]


@dataclass(frozen=True)
class Frame:
    """One picture of a camera.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        index: number of the frame in its source, from 0; gaps are frames that were dropped.
        captured: when it was taken, in seconds of the monotonic clock.
    """

    image: Image
    index: int
    captured: float


@dataclass(frozen=True)
class Budget:
    """The time a frame may take from capture to decision.

    Attributes:
        seconds: time from capture to decision, > 0; infinity when there is no deadline.
        reserve: seconds of it in which nothing is planned, >= 0 and below `seconds`: for what comes after the decision.
    """

    seconds: float = float("inf")
    reserve: float = 0.0

    def deadline(self, frame: Frame) -> float:
        """The moment (monotonic seconds) at which the decision on `frame` is due."""
        return frame.captured + self.seconds


@dataclass(frozen=True)
class Plan:
    """What will be done with one frame.

    Attributes:
        views: names of the views to run, in order of promise; never empty.
        weights: of each of them in the vote.
        predicted_losses: the predicted loss of each of `views`, or empty where nothing was predicted.
        planned_views: how many views the policy would run.
        time_left: seconds to the deadline, less the reserve, when it was made; infinity without a deadline.
        expected_seconds: a high quantile of what running the views costs; nan where nothing was measured.
        why: what settled the number of views.
    """

    views: tuple[str, ...]
    weights: tuple[float, ...]
    predicted_losses: tuple[float, ...]
    planned_views: int
    time_left: float
    expected_seconds: float
    reason: Reason


@dataclass(frozen=True)
class StageTimes:
    """Where the time of one decision went, in seconds.

    Attributes:
        prepare: crop and resize.
        rank: the loss predictor.
        plan: the choice of views.
        views: making them.
        infer: the classifier.
        aggregate: softmax, mean and the rest of the decision.
    """

    prepare: float
    rank: float
    plan: float
    views: float
    infer: float
    aggregate: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.prepare + self.rank + self.plan + self.views + self.infer + self.aggregate


@dataclass(frozen=True)
class Decision:
    """What is seen in a frame, how sure, and how it came about.

    Attributes:
        label: name of the most probable class.
        confidence: its probability, 0..1.
        probabilities: float32 [C], sums to 1.
        index: number of the frame decided on.
        views: names of the views that were run.
        predicted_losses: predicted loss of each view run; empty where nothing was predicted.
        times: seconds spent per stage.
        age: seconds from capture to decision.
        late: whether the decision came after its deadline.
        skipped: frames of the source that were passed over since the decision before.
        planned_views: how many views the policy would have run.
        time_left: seconds to the deadline, less the reserve, when the views were chosen; infinity without a deadline.
        expected_seconds: a high quantile of what the views were going to cost; nan where nothing was measured.
        why: what settled the number of views.
    """

    label: str
    confidence: float
    probabilities: Floats
    index: int
    views: tuple[str, ...]
    predicted_losses: tuple[float, ...]
    times: StageTimes
    age: float
    late: bool
    skipped: int
    planned_views: int = 1
    time_left: float = float("inf")
    expected_seconds: float = float("nan")
    reason: Reason = "policy"


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
