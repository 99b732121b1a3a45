"""Tells the sinks when a camera is connected, lost, back, or at its end."""

from __future__ import annotations

from collections.abc import Sequence

from allweather.runtimes.cameras.base import Camera, Phase
from allweather.runtimes.loop.health_events import call_all
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event


class ConnectionEvents:
    """Writes an event of the kind "connection" to sinks whenever the phase of a camera has changed.

    The thread of the loop looks at the phase while it waits for a frame and after each frame, so that sinks are called
    by that thread only. A phase that lasts shorter than that is not told.

    Args:
        camera: The camera.
        sinks: Get the events; they must be open.
    """

    def __init__(self, camera: Camera, sinks: Sequence[Sink]) -> None:
        self._camera, self._sinks = camera, sinks
        self._phase: Phase | None = None

    def note(self) -> None:
        """Writes an event if the phase has changed.

        Raises:
            OutputError: A sink fails.
            Ended: A sink ends the loop; all others have got the event.
        """
        state = self._camera.state
        if state.phase != self._phase:
            self._write(state.phase, state.error)

    def note_end(self) -> None:
        """Writes that there are no more frames.

        Raises:
            OutputError: A sink fails.
            Ended: A sink ends the loop; all others have got the event.
        """
        if self._phase != "ended":
            self._write("ended", "")

    def _write(self, phase: Phase, reason: str) -> None:
        self._phase = phase
        event = Event("connection", self._camera.name, phase, reason, self._camera.clock())
        call_all(self._sinks, lambda sink: sink.write_event(event))
