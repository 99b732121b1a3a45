"""The values that pass through the camera loop: a frame, the plan for it within a budget, and the decision on it."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.setting_types import is_real

Image: TypeAlias = npt.NDArray[np.uint8]
"""One image [H, W, 3] or a batch of images [n, h, w, 3]; RGB, 0..255."""
GivenImage: TypeAlias = npt.NDArray[Any]
"""An image as a caller has it, which is checked to be uint8 [H, W, 3]: OpenCV's functions give arrays of any number."""
Floats: TypeAlias = npt.NDArray[np.float32]

Reason = Literal["policy", "early_exit", "budget", "no_time_to_rank", "past_deadline", "undecided"]
"""What set the number of views that were run.

- "policy": All views of the policy were run.
- "early_exit": The average became confident enough before all views were run.
- "budget": The deadline left time for fewer views than the policy asks for.
- "no_time_to_rank": The deadline left no time for the loss predictor, so that views were run without ranking them.
- "past_deadline": The deadline left no time for any view; one was run nevertheless.
- "undecided": There was no time for this one of several objects of a frame: no view was run, the label is empty, and
  all classes are equally probable; with temporal smoothing it keeps the label of earlier frames.
"""

MAX_AHEAD_SECONDS = 1.0  # of a frame's time before the clock, as the clocks of cameras are not exact


@dataclass(frozen=True, eq=False)  # as == of two arrays is an array, and no bool
class Frame:
    """One image of a camera.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        index: Index of the frame in its source, from 0. Missing indices are frames that were dropped.
        captured: Time of the capture, in seconds of the monotonic clock.
        file: Name of the image file that it was read from; empty for a frame of anything else.
    """

    image: Image
    index: int
    captured: float
    file: str = ""


@dataclass(frozen=True)
class Budget:
    """The time that a frame may take from capture to decision.

    Attributes:
        seconds: Seconds from capture to decision, above 0; infinity for no deadline.
        reserve: Seconds at the end of the budget that the planner keeps free for what follows the decision, such as the
            reaction to it; at least 0 and below `seconds`.
    """

    seconds: float = float("inf")
    reserve: float = 0.0

    def __post_init__(self) -> None:
        """Checks both.

        Raises:
            UsageError: `seconds` is not a number above 0, or `reserve` is not one from 0 to below `seconds`.
        """
        if not (is_real(self.seconds) and self.seconds > 0):
            raise UsageError(f"a budget is a number of seconds above 0; got {self.seconds!r:.40}")
        if not (is_real(self.reserve) and 0 <= self.reserve < self.seconds):
            raise UsageError(
                f"the reserve of a budget is a number of seconds from 0 to below the budget, {self.seconds:g} s; "
                f"got {self.reserve!r:.40}"
            )

    def deadline(self, frame: Frame) -> float:
        """Returns the time at which the decision on `frame` is due, in seconds of the monotonic clock."""
        return frame.captured + self.seconds


@dataclass(frozen=True)
class Plan:
    """The views to run on one frame.

    Attributes:
        views: Names of the views to run, the most promising first; never empty. A name that begins with "large:" comes
            last: the large classifier runs that view.
        weights: Weight of each of `views` in the average.
        predicted_losses: Predicted loss of each of `views`; empty if no losses were predicted.
        planned_views: Number of views that the policy asks for.
        time_left: Seconds to the deadline, less the reserve, when the plan was made; infinity without a deadline.
        expected_seconds: A high quantile of the time that running the views takes, or the first view of a policy that
            may exit early; nan if nothing was measured yet.
        reason: What set the number of views.
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
    """The time that each stage of one decision took, in seconds.

    Attributes:
        prepare: Cropping and resizing the frame.
        rank: Running the loss predictor.
        plan: Choosing the views.
        views: Computing the views.
        infer: Running the classifier.
        aggregate: Softmax, averaging, and the rest of the decision.
        detect: Finding the objects of the frame by a detector; 0 without one.
    """

    prepare: float
    rank: float
    plan: float
    views: float
    infer: float
    aggregate: float
    detect: float = 0.0

    @property
    def total(self) -> float:
        """Sum of all stages, in seconds."""
        return self.prepare + self.rank + self.plan + self.views + self.infer + self.aggregate + self.detect


@dataclass(frozen=True, eq=False)  # as == of two arrays is an array, and no bool
class Decision:
    """The prediction for a frame or for an object of it, its confidence, and how it was made.

    Attributes:
        label: Name of the most probable class; "" if there was no time for the object.
        confidence: Probability of that class, 0..1; calibrated if the policy has a `ConfidenceModel`.
        probabilities: float32 [C], in the order of `Perceiver.classes`, sums to 1; calibrated likewise.
        index: Index of the frame in its source.
        views: Names of the views that were run; after "large:", of one that the large classifier ran.
        predicted_losses: Predicted loss of each view that was run; empty if no losses were predicted.
        times: Seconds that each stage took.
        age: Seconds from capture to decision.
        late: Whether the decision was made after its deadline.
        skipped: Number of frames of the source that were dropped since the previous decision.
        planned_views: Number of views that the policy asks for.
        time_left: Seconds to the deadline, less the reserve, when the views were chosen; infinity without a deadline.
        expected_seconds: A high quantile of the time that running the views takes, or the first view of a policy that
            may exit early; nan if nothing was measured yet.
        reason: What set the number of views that were run; see `Reason`. If it is "undecided", no view was run: the
            label is "" and the confidence 0, all probabilities are equal, there are no views, the agreement of 1
            means nothing, and `accepted` is False, or None without a threshold. With temporal smoothing, label,
            confidence and probabilities are of earlier frames.
        region: The part of the frame that was decided on; None for the whole frame.
        name: Name of that region, if it has one.
        track: Number by which the detector knows the object again in other frames; None if it gives none.
        frames: Number of decided frames for which the label of the object has been the same; 1 without temporal
            smoothing. With it, label, confidence and probabilities are of all frames of the object together.
        stable: Whether that is as many frames as `Smoothing.stable_frames`; None without temporal smoothing.
        frame_label: Label of this frame alone; empty without temporal smoothing.
        frame_confidence: Its confidence, 0..1; nan without temporal smoothing.
        accepted: Whether it may be relied upon: accepted decisions err at most as often as `allweather tune-policy
            --risk` was told, on images like those of the validation data. None if no threshold was found. With temporal
            smoothing it is still that of the frame alone, and a label that is not that of the frame is not accepted.
        unknown: Whether the image is unlike those of the validation data, so that none of the classes may be right.
        agreement: Share of the views that were run, 0..1, whose own most probable class is that of their average; 1 if
            a single one was.
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
    region: Region | None = None
    name: str = ""
    track: int | None = None
    frames: int = 1
    stable: bool | None = None
    frame_label: str = ""
    frame_confidence: float = float("nan")
    accepted: bool | None = None
    unknown: bool = False
    agreement: float = 1.0


@dataclass(frozen=True)
class Drops:
    """Numbers of frames of a source without a decision, by cause.

    Attributes:
        decode: Damaged frames.
        superseded: Frames of a live source that a newer frame replaced before they were processed.
        late: Frames of a live source that were too old to be decided on before their deadline.
        engine: Frames on which the engine failed.
        detector: Frames on which the detector failed.
        source: How often a live source was lost. How many frames were lost with it is not known.
    """

    decode: int = 0
    superseded: int = 0
    late: int = 0
    engine: int = 0
    detector: int = 0
    source: int = 0

    @property
    def total(self) -> int:
        """Number of dropped frames of all causes, except those that were lost with their source."""
        return self.decode + self.superseded + self.late + self.engine + self.detector

    def plus(self, other: Drops) -> Drops:
        """Returns the sum of both, cause by cause."""
        return Drops(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def since(self, before: Drops) -> Drops:
        """Returns the numbers of frames that were dropped since the earlier count `before`, cause by cause."""
        return Drops(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(before), strict=True)))
