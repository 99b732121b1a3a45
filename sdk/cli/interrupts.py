"""Ctrl-C and SIGTERM while a loop runs: it ends in good order, with every sink holding the same decisions."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from allweather.runtimes.frame import Decision, Frame
from allweather.runtimes.image import Region
from allweather.runtimes.loop import Decide
from allweather.runtimes.sinks import Ended, Sink


class Interrupts(Sink):
    """The last sink of a loop, and the wrapper of what decides.

    Only the wait for a frame is cut short by a signal; a frame that is being decided on is first written to all sinks,
    and sinks that are being closed are closed. A second signal does not wait.

    Args:
        decide: looks at frames.
        watch: told of each decision that has been written.
    """

    def __init__(self, decide: Decide, watch: Callable[[Frame, Decision], None]) -> None:
        self._decide, self._watch = decide, watch
        self._busy = False
        self.received: list[int] = []

    def decide(self, frame: Frame, skipped: int) -> Decision:
        """The decision; from its beginning signals wait."""
        self._busy = True
        return self._decide(frame, skipped)

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
