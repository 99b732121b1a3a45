"""`HealthEvents`: tells the sinks of a loop when its camera sees worse or better."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allweather.runtimes.camera_health.states import CameraHealth
from allweather.runtimes.camera_health.tracker import CameraHealthTracker
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Frame


class HealthEvents:
    """Follows the health of one camera, and hands its changes to the sinks.

    A camera that has not been told of is clear: the first event is one of trouble. All methods are called by the thread
    of the loop, and what a sink raises reaches the caller.

    Args:
        camera: The camera.
        sinks: Take the events, in this order.
        stats: Keep the health for the monitor and the report.
    """

    def __init__(self, camera: Camera, sinks: Sequence[Sink], stats: LoopStats) -> None:
        self._camera, self._sinks, self._stats = camera, sinks, stats
        self._tracker = CameraHealthTracker()
        self._told = CameraHealth()

    def add_frame(self, frame: Frame) -> None:
        """Takes a frame that was decided on, and tells what has changed."""
        if frame.file:  # images of a folder follow each other as they like
            return
        health = self._tracker.update(frame.image, self._seconds(frame))
        self._stats.set_health(health)
        before, self._told = self._told, health
        if (health.state, health.reasons) != (before.state, before.reasons):
            reasons = ", ".join(health.reasons)
            event = Event("health", self._camera.name, health.state, reasons, frame.captured)
            call_all(self._sinks, lambda sink: sink.write_event(event))

    def _seconds(self, frame: Frame) -> float:
        """Returns the time of a frame in the footage: a file may be read faster or slower than it was recorded."""
        fps = None if self._camera.live else self._camera.fps
        return frame.index / fps if fps else frame.captured


def call_all(sinks: Sequence[Sink], call: Callable[[Sink], None]) -> None:
    """Calls a function with every sink, even if one of them ends the loop."""
    ended: Ended | None = None
    for sink in sinks:
        try:
            call(sink)
        except Ended as request:
            ended = request
    if ended:
        raise ended
