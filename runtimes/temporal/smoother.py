"""`Smoother`: combines the decisions of a camera over its frames, object by object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.temporal.label_filter import Belief, first_belief, predicted_belief, updated_belief
from allweather.runtimes.temporal.same_objects import ObjectKey, Seen, find_objects
from allweather.runtimes.temporal.settings import Smoothing
from allweather.runtimes.tta.policy import LARGE
from allweather.runtimes.types import Decision, Frame

# Last frames in which a box is looked for: a detector may miss an object once, and a box that an object left longer ago
# would be taken for that of the next one to pass there.
BOX_CALLS = 2


@dataclass(frozen=True)
class _Object:
    """What is remembered of an object: what is believed about it, and when and where."""

    belief: Belief
    label: str
    views: int  # that the classifier ran on its frames
    frames: int  # for which the label has been the same
    index: int  # of the last frame that was decided on
    captured: float  # time of that frame
    region: Region | None  # of the last frame that it was seen in, decided on or not
    call: int  # of the smoother, for that frame


class Smoother:
    """Combines the decisions of one camera over its frames, object by object. For use by one thread.

    Decisions are on the same object if they have the same track, which a detector may give; without tracks, if their
    regions have the same name; without either, if their regions overlap from frame to frame, or are the whole frame.

    `watch(..., smoothing=Smoothing())` does it for you. In a loop of your own::

        smoother = allweather.Smoother(perceiver.classes)
        ...
        decisions = smoother(frame, [perceiver.decide(frame)])

    Args:
        classes: Class names, in the order of the probabilities.
        settings: How frames are combined; the defaults of `Smoothing` if None.

    Raises:
        UsageError: An argument has the wrong type.
    """

    def __init__(self, classes: Sequence[str], settings: Smoothing | None = None) -> None:
        if isinstance(classes, str) or not isinstance(classes, Sequence | np.ndarray):
            raise UsageError(f"a smoother takes class names, such as perceiver.classes; got {type(classes).__name__}")
        if not isinstance(settings, Smoothing | None):
            raise UsageError(f"the settings of a smoother are a Smoothing; got {type(settings).__name__}")
        self._classes, self._settings = tuple(classes), settings or Smoothing()
        self._objects: dict[ObjectKey, _Object] = {}  # those seen last come last
        self._box_numbers = count()
        self._calls = 0

    def views_before(self, frame: Frame, seen: Sequence[Seen]) -> tuple[int, ...]:
        """Returns how many views were run before on each object of a frame that is to be decided on.

        The perceiver takes these numbers, so that the views of an object take turns: `Perceiver.decide`.

        Args:
            frame: The frame.
            seen: Its objects, each with a `region`, a `name` and a `track`.
        """
        self._forget_before(frame)
        keys = find_objects(seen, self._boxes(self._calls + 1), self._settings.min_overlap)
        return tuple(self._objects[key].views if key in self._objects else 0 for key in keys)

    @property
    def num_objects(self) -> int:
        """Number of objects that are remembered."""
        return len(self._objects)

    def __call__(self, frame: Frame, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        """Returns the decisions on a frame, combined with those of earlier frames.

        An object that there was no time for ("undecided") keeps the label that it had, if it was seen before.

        Args:
            frame: The frame. Its index and its time say how long ago earlier ones were.
            decisions: The decision on it, or on each of its objects; none that was combined before.

        Returns:
            The decisions in the same order, with other `label`, `confidence`, `probabilities`, `frames` and `stable`;
            `frame_label` and `frame_confidence` are those of the frame alone. All else is as it was: views, reason and
            times.

        Raises:
            UsageError: A decision has another number of probabilities than there are classes, or an argument the wrong
                type.
        """
        if not isinstance(frame, Frame):
            raise UsageError(f"a smoother takes a Frame and its decisions; got {type(frame).__name__}")
        if not (isinstance(decisions, Sequence) and all(isinstance(each, Decision) for each in decisions)):
            raise UsageError(f"a smoother takes a list of the decisions on a frame; got {decisions!r:.40}")
        for decision in decisions:
            if len(decision.probabilities) != len(self._classes):
                raise UsageError(
                    f"the smoother is for {len(self._classes)} classes, and a decision has "
                    f"{len(decision.probabilities)} probabilities; give it the classes of the perceiver that decides"
                )
        self._forget_before(frame)
        self._calls += 1
        keys = find_objects(decisions, self._boxes(self._calls), self._settings.min_overlap)
        return tuple(
            self._combine(frame, decision, key or ObjectKey(box=next(self._box_numbers)))
            for decision, key in zip(decisions, keys, strict=True)
        )

    def _boxes(self, call: int) -> dict[ObjectKey, Region]:
        """Returns where the objects were seen last that are known by their boxes alone, for a call of the smoother."""
        return {
            key: each.region
            for key, each in self._objects.items()
            if key.box is not None and each.region and call - each.call <= BOX_CALLS
        }

    def _forget_before(self, frame: Frame) -> None:
        """Forgets objects that were last seen long ago, and all of them if the frames start anew."""
        settings = self._settings
        self._objects = {
            key: each
            for key, each in self._objects.items()
            if 0 < frame.index - each.index <= settings.max_gap_frames
            and frame.captured - each.captured <= settings.max_gap_seconds
        }

    def _combine(self, frame: Frame, decision: Decision, key: ObjectKey) -> Decision:
        known = self._objects.pop(key, None)
        if known is None:
            if decision.reason == "undecided":
                return replace(decision, frames=0, stable=False)
            seen = _Object(
                first_belief(decision.probabilities, self._settings), decision.label, _own_views(decision), 1,
                frame.index, frame.captured, decision.region, self._calls,
            )  # fmt: skip
            self._remember(key, seen)
            return replace(decision, stable=self._is_stable(seen), **_of_frame(decision))
        if known.index == frame.index:  # two decisions with one track: the second one stands alone
            self._remember(key, known)
            return replace(decision, stable=False, **_of_frame(decision))
        belief = predicted_belief(known.belief, frame.index - known.index, self._settings)
        if decision.reason == "undecided":
            seen = replace(known, region=decision.region, call=self._calls)
        else:
            belief = updated_belief(belief, decision.probabilities, self._settings)
            label = self._classes[int(belief.argmax())]
            frames = known.frames + 1 if label == known.label else 1
            views = known.views + _own_views(decision)
            seen = _Object(belief, label, views, frames, frame.index, frame.captured, decision.region, self._calls)
        self._remember(key, seen)
        return replace(
            decision,
            label=seen.label,
            confidence=float(belief.max()),
            probabilities=belief.astype(np.float32),
            frames=seen.frames,
            stable=self._is_stable(seen),
            **_of_frame(decision),
            # the risk was measured on single frames: of another label nothing is known
            accepted=decision.accepted and seen.label == decision.label,
        )

    def _is_stable(self, seen: _Object) -> bool:
        return seen.frames >= self._settings.stable_frames

    def _remember(self, key: ObjectKey, seen: _Object) -> None:
        self._objects[key] = seen
        if len(self._objects) > self._settings.max_objects:
            del self._objects[next(iter(self._objects))]


def _of_frame(decision: Decision) -> dict[str, Any]:
    """Returns what is kept of a decision on one frame."""
    return {"frame_label": decision.label, "frame_confidence": decision.confidence}


def _own_views(decision: Decision) -> int:
    """Returns how many views the classifier ran; what a large classifier ran was one of these again."""
    return sum(not name.startswith(LARGE) for name in decision.views)
