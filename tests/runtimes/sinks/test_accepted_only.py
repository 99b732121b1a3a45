"""Only decisions that may be relied upon are passed on, and all events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from decisions import decision as make_decision

from allweather.runtimes.sinks.accepted_only import AcceptedOnly
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Decision, Frame

FRAME = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0)


class Recorder(Sink):
    def __init__(self) -> None:
        self.taken: list[object] = []

    def open(self) -> None:
        self.taken.append("open")

    def write(self, frame: Frame, decision: Decision) -> None:
        self.taken.append(decision)

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        self.taken.append(list(decisions))

    def write_event(self, event: Event) -> None:
        self.taken.append(event)

    def close(self) -> None:
        self.taken.append("close")


def test_what_is_not_accepted_is_left_out() -> None:
    recorder, event = Recorder(), Event("health", "yard", "blind", "dark", 0.0)
    yes, no, unknown = (replace(make_decision(), accepted=each) for each in (True, False, None))
    sink = AcceptedOnly(recorder)
    sink.open()
    for decision in (no, yes, unknown):
        sink.write(FRAME, decision)
    sink.write_frame(FRAME, [no, yes, unknown, yes])
    sink.write_frame(FRAME, [no])
    sink.write_event(event)
    sink.close()
    assert recorder.taken == ["open", yes, [yes, yes], event, "close"]
