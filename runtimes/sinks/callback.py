"""A sink that calls a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allweather.runtimes.errors import UsageError
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.types import Decision, Frame


class CallbackSink(Sink):
    """Calls a function with each frame and its decisions. An exception of the function ends the loop.

    Args:
        function: Called as `function(frame, decisions)`; its result is ignored.
    """

    def __init__(self, function: Callable[[Frame, Sequence[Decision]], object]) -> None:
        """Calls nothing yet.

        Raises:
            UsageError: `function` is none.
        """
        if not callable(function):
            raise UsageError(f"a callback is a function of a frame and its decisions; got {function!r:.40}")
        self._function = function

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Calls the function."""
        self._function(frame, decisions)
