"""Where decisions go. A sink is opened before the first frame, and closed however the loop ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from allweather.runtimes.preprocess import Region
from allweather.runtimes.types import Decision, Frame


class Ended(BaseException):
    """Raised by a sink, or by a program's signal handler, to end the loop in good order."""


class Sink(ABC):
    """Takes decisions. One of your own needs `write`; `open` and `close` do nothing unless it says so."""

    def open(self) -> None:  # noqa: B027 -- optional on purpose
        """Makes ready, before the camera is read.

        Raises:
            OutputError: it cannot work.
        """

    @abstractmethod
    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Takes one decision.

        Args:
            frame: the whole frame; not to be written into.
            decision: the decision on it.
            region: the part of the frame that was decided on; the whole when None.

        Raises:
            OutputError: it cannot be written.
            Ended: the loop shall end; the other sinks still get this decision.
        """

    def close(self) -> None:  # noqa: B027 -- optional on purpose
        """Finishes what was written; called once for each `open`, also after an error or Ctrl-C.

        Raises:
            OutputError: what was written is not usable.
        """


class CallbackSink(Sink):
    """Calls a function with each frame and decision. What it raises ends the loop and reaches the caller."""

    def __init__(self, function: Callable[[Frame, Decision], object]) -> None:
        """Keeps the function; what it returns is ignored."""
        self._function = function

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Calls the function."""
        self._function(frame, decision)
