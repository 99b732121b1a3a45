"""Ctrl-C and SIGTERM while a loop runs: it ends in good order, with every sink holding the same decisions."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType

from allweather.runtimes.loop.loop import Decider
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Frame


class Interrupts(Sink):
    """The last sink of a loop, and the wrapper of what decides.

    Only the wait for a frame is cut short by a signal; camera and sinks are first opened, a frame that is being decided
    on is first written to all sinks, and sinks that are being closed are closed. A second signal does not wait.

    Args:
        decider: looks at frames.
        watch: told of each decision that has been written.
    """

    def __init__(self, decider: Decider, watch: Callable[[Frame, Decision], None]) -> None:
        self._decider, self._watch = decider, watch
        self._busy = True
        self.received: list[int] = []

    def open(self) -> None:
        """Camera and sinks are open: from now on the wait for a frame can be cut short.

        Raises:
            Ended: a signal came meanwhile; one that arrived half-way would leave a camera's thread behind.
        """
        self._busy = False
        if self.received:
            raise Ended

    def turn(self) -> AbstractContextManager[object]:
        """The decider's."""
        return self._decider.turn()

    def can_meet_deadline(self, frame: Frame) -> bool:
        """What the decider says."""
        return self._decider.can_meet_deadline(frame)

    def decide(self, frame: Frame, skipped: int) -> Decision:
        """The decision; from its beginning signals wait."""
        self._busy = True
        try:
            return self._decider.decide(frame, skipped)
        except BaseException:  # nothing will be written of this frame: the wait for the next one can be cut short
            self._busy = False
            raise

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Ends the loop if a signal has come, now that the sinks before this one have written.

        Raises:
            Ended: one has.
        """
        self._watch(frame, decision)
        self._busy = False
        if self.received:
            raise Ended

    def close(self) -> None:
        """The sinks before this one are closed next: signals wait."""
        self._busy = True

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """The handler of both signals.

        Raises:
            Ended: the loop waits for a frame.
            KeyboardInterrupt: it is the second one.
        """
        self.received.append(number)
        if len(self.received) > 1:
            raise KeyboardInterrupt
        if not self._busy:
            raise Ended

    def __enter__(self) -> Interrupts:
        """Takes the signals over."""
        self._before = {number: signal.signal(number, self.signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *trace: object) -> None:
        """Gives them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
