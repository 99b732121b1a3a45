"""`CameraEvents`: tells the sinks of a loop when its camera is lost or back, and when it sees worse or better."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allweather.runtimes.camera_health.states import CameraHealth
from allweather.runtimes.camera_health.tracker import CameraHealthTracker
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Frame


class CameraEvents:
    """Follows the connection and the health of one camera, and hands their changes to the sinks.

    A camera that has not been told of is live and clear: the first event is one of trouble. All methods are called by
    the thread of the loop, and what a sink raises reaches the caller.

    Args:
        camera: The camera.
        sinks: Take the events, in this order.
        stats: Keep the health for the monitor and the report.
    """

    def __init__(self, camera: Camera, sinks: Sequence[Sink], stats: LoopStats) -> None:
        self._camera, self._sinks, self._stats = camera, sinks, stats
        self._tracker = CameraHealthTracker()
        self._told_health = CameraHealth()
        self._is_lost, self._told_error = False, ""

    def on_wait(self) -> None:
        """Notes that the loop is alive while it waits for a frame, and tells when the camera is lost."""
        self._stats.mark_alive()
        self._check_connection()

    def add_frame(self, frame: Frame) -> None:
        """Takes a frame that was decided on, and tells what has changed."""
        self._check_connection()
        if frame.file:  # images of a folder follow each other as they like
            return
        health = self._tracker.update(frame.image, self._seconds(frame))
        self._stats.set_health(health)
        before, self._told_health = self._told_health, health
        if (health.state, health.reasons) != (before.state, before.reasons):
            reasons = ", ".join(health.reasons)
            self._tell(Event("health", self._camera.name, health.state, reasons, frame.captured))

    def _check_connection(self) -> None:
        state = self._camera.state
        is_lost = state.phase == "waiting"
        if is_lost == self._is_lost and (not is_lost or state.error == self._told_error):
            return
        if state.phase not in ("live", "waiting"):  # connecting, or at its end
            return
        self._is_lost, self._told_error = is_lost, state.error
        self._tell(Event("connection", state.name, state.phase, state.error, self._camera.clock()))

    def _seconds(self, frame: Frame) -> float:
        """Returns the time of a frame in the footage: a file may be read faster or slower than it was recorded."""
        fps = None if self._camera.live else self._camera.fps
        return frame.index / fps if fps else frame.captured

    def _tell(self, event: Event) -> None:
        call_all(self._sinks, lambda sink: sink.write_event(event))


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
