"""`Decider`: what decides on the frames of a loop, and `FoundObject`: what of a frame is decided on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from allweather.runtimes.region import Region
from allweather.runtimes.types import Decision, Frame


@dataclass(frozen=True)
class FoundObject:
    """A part of a frame to decide on.

    Attributes:
        region: Where it is.
        name: Name of the region; empty if it has none.
        track: Number by which a detector knows the object again in other frames; None if it gives none.
    """

    region: Region
    name: str = ""
    track: int | None = None


class Decider(Protocol):
    """What decides on frames: the perceiver, or a wrapper of it."""

    def lock(self) -> AbstractContextManager[object]:
        """Returns a lock; in a `with` block on it, no other thread decides."""

    def can_meet_deadline(self, frame: Frame) -> bool:
        """Returns whether the frame can be decided on before its deadline; also True if no frame could be."""

    def decide(self, frame: Frame, skipped: int, *, views_before: int = 0) -> Decision:
        """Decides on a frame; see `Perceiver.decide`."""

    def decide_regions(
        self, frame: Frame, regions: Sequence[Region], skipped: int, *, views_before: Sequence[int] = ()
    ) -> list[Decision]:
        """Decides on each of some regions of a frame, within one deadline; see `Perceiver.decide_regions`."""


class FunctionDecider:
    """Decides by a function, without a lock and without a deadline.

    Args:
        function: Called with a frame and the number of frames skipped before it; returns the decision.
    """

    def __init__(self, function: Callable[[Frame, int], Decision]) -> None:
        self._function = function

    def lock(self) -> AbstractContextManager[object]:
        """See `Decider.lock`."""
        return nullcontext()

    def can_meet_deadline(self, frame: Frame) -> bool:
        """See `Decider.can_meet_deadline`."""
        return True

    def decide(self, frame: Frame, skipped: int, *, views_before: int = 0) -> Decision:
        """Calls the function."""
        return self._function(frame, skipped)

    def decide_regions(
        self, frame: Frame, regions: Sequence[Region], skipped: int, *, views_before: Sequence[int] = ()
    ) -> list[Decision]:
        """Calls the function with each region."""
        return [replace(self._function(cropped(frame, region), skipped), region=region) for region in regions]


def cropped(frame: Frame, region: Region) -> Frame:
    """Returns a frame of the part inside the region alone.

    Raises:
        UsageError: The region does not lie inside the frame.
    """
    return Frame(region.crop(frame.image), frame.index, frame.captured, frame.file)


def decide_on(
    decider: Decider,
    frame: Frame,
    objects: Sequence[FoundObject] | None,
    skipped: int,
    views_before: Sequence[int] = (),
) -> tuple[Decision, ...]:
    """Decides on a frame or on objects of it.

    Args:
        decider: Decides.
        frame: The whole frame.
        objects: What of it to decide on, of which there may be nothing; None for the whole frame.
        skipped: Number of frames of the source since the last one decided on.
        views_before: Number of views that were run on earlier frames of each object; none if empty.

    Raises:
        EngineError: The engine failed.
        UsageError: A region does not lie inside the frame.
    """
    if objects is None:
        return (decider.decide(frame, skipped),)
    if len(objects) == 1:
        region = objects[0].region
        decisions = [
            replace(decider.decide(cropped(frame, region), skipped, views_before=sum(views_before)), region=region)
        ]
    else:
        regions = [each.region for each in objects]
        decisions = decider.decide_regions(frame, regions, skipped, views_before=views_before) if objects else []
    return tuple(
        replace(decision, name=each.name, track=each.track) if each.name or each.track is not None else decision
        for decision, each in zip(decisions, objects, strict=True)
    )
