"""`AcceptedOnly`: passes on to another sink only the decisions that may be relied upon."""

from __future__ import annotations

from collections.abc import Sequence

from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Decision, Frame


class AcceptedOnly(Sink):
    """Passes on accepted decisions (`Decision.accepted`) and all events of the camera.

    Args:
        sink: What gets them; opened and closed with this one.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def open(self) -> None:
        """See `Sink.open`."""
        self._sink.open()

    def write(self, frame: Frame, decision: Decision) -> None:
        """Passes the decision on if it is accepted."""
        if decision.accepted:
            self._sink.write(frame, decision)

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Passes on those decisions of a frame that are accepted; nothing if there are none."""
        if accepted := [decision for decision in decisions if decision.accepted]:
            self._sink.write_frame(frame, accepted)

    def write_event(self, event: Event) -> None:
        """Passes the event on."""
        self._sink.write_event(event)

    def close(self) -> None:
        """See `Sink.close`."""
        self._sink.close()
