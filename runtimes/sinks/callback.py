"""A sink that calls a function."""

from __future__ import annotations

from collections.abc import Callable

from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.types import Decision, Frame


class CallbackSink(Sink):
    """Calls a function with each frame and its decision. An exception of the function ends the loop.

    Args:
        function: Called as `function(frame, decision)`; its result is ignored.
    """

    def __init__(self, function: Callable[[Frame, Decision], object]) -> None:
        self._function = function

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Calls the function."""
        self._function(frame, decision)
