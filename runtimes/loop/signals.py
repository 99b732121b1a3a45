"""Ctrl-C, SIGTERM and a lost terminal (SIGHUP) while a loop runs: it ends normally, and all sinks are complete."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from allweather.runtimes.loop.deciders import Decider
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Frame

BURST_SECONDS = 1.0  # in which further signals are the same wish: a closed session sends SIGHUP and SIGTERM together
SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class StopOnSignal(Sink):
    """Handles SIGINT, SIGTERM and SIGHUP in a `with` block. It wraps the decider of a loop and is also its last sink.

    A signal interrupts only the wait for a frame. Everything else is finished first: opening the camera and the sinks,
    deciding on a frame and writing the decision to all sinks, and closing the sinks. A second signal, a second or more
    after the first, raises KeyboardInterrupt at once. What is ignored stays ignored: SIGHUP under nohup, and Ctrl-C in
    the background of a script.

    Args:
        decider: Decides on frames.
        on_decisions: Called with each frame and its decisions after the sinks before this one have written them.
        on_hangup: Called on SIGHUP, in the main thread; returns whether the loop ends. It always does if None.
        clock: Returns monotonic seconds.

    Attributes:
        received: Numbers of the signals that were received, in order.
    """

    def __init__(
        self,
        decider: Decider,
        on_decisions: Callable[[Frame, Sequence[Decision]], None],
        *,
        on_hangup: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decider, self._on_decisions, self._clock = decider, on_decisions, clock
        self._on_hangup = on_hangup
        self._burst_end = math.inf  # monotonic seconds
        self._busy = True  # whether a signal has to wait
        self.received: list[int] = []

    def open(self) -> None:
        """Notes that camera and sinks are open, so that a signal may interrupt the wait for a frame from now on.

        Raises:
            Ended: A signal was received during the opening, which it did not interrupt, as that would leave a thread of
                the camera behind.
        """
        self._busy = False
        if self.received:
            raise Ended

    def lock(self) -> AbstractContextManager[object]:
        """See `Decider.lock`."""
        return self._decider.lock()

    def can_meet_deadline(self, frame: Frame) -> bool:
        """See `Decider.can_meet_deadline`."""
        return self._decider.can_meet_deadline(frame)

    def decide(self, frame: Frame, skipped: int, *, views_before: int = 0) -> Decision:
        """Decides on the frame; signals wait from now on, until the decision has been written."""
        with self._working():
            return self._decider.decide(frame, skipped, views_before=views_before)

    def decide_regions(
        self, frame: Frame, regions: Sequence[Region], skipped: int, *, views_before: Sequence[int] = ()
    ) -> list[Decision]:
        """Decides on the regions; signals wait from now on, until the decisions have been written."""
        with self._working():
            return self._decider.decide_regions(frame, regions, skipped, views_before=views_before)

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        except BaseException:  # nothing will be written of this frame, so the wait for the next one may be interrupted
            self._busy = False
            raise

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Ends the loop if a signal was received, as the sinks before this one have now written the decisions.

        Raises:
            Ended: A signal was received.
        """
        self._on_decisions(frame, decisions)
        self._busy = False
        if self.received:
            raise Ended

    def close(self) -> None:
        """Makes signals wait, as the sinks before this one are closed next."""
        self._busy = True

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal.

        Raises:
            Ended: The loop is waiting for a frame.
            KeyboardInterrupt: It is a further signal, and no SIGHUP, a second or more after the first.
        """
        if number == SIGHUP and self._on_hangup is not None and not self._on_hangup():
            return
        self.received.append(number)
        if len(self.received) > 1:
            if number == SIGHUP or self._clock() < self._burst_end:
                return
            raise KeyboardInterrupt
        self._burst_end = self._clock() + BURST_SECONDS
        if not self._busy:
            raise Ended

    def __enter__(self) -> StopOnSignal:
        """Installs the signal handlers."""
        terminal = [number for number in (signal.SIGINT, SIGHUP) if number is not None]
        signals = [signal.SIGTERM, *(each for each in terminal if signal.getsignal(each) != signal.SIG_IGN)]
        self._previous_handlers = {number: signal.signal(number, self.handle_signal) for number in signals}
        return self

    def __exit__(self, *trace: object) -> None:
        """Restores the previous signal handlers."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
