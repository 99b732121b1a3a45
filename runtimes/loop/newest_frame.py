"""`NewestFrame`: reads the frames of a camera, and decides on the newest one whenever the decider is free."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import CameraError, DetectorError, EngineError, EngineTimeoutError, UsageError
from allweather.runtimes.loop.deciders import Decider, FoundObject, decide_on
from allweather.runtimes.loop.detector import ObjectDetector, with_detect_time
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.types import Decision, Drops, Frame

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 10  # frames in a row on which engine or detector fails; the engine's watchdog is earlier


class NewestFrame:
    """Reads frames and decides on them, without sinks.

    Of a live camera, the newest frame is taken once the decider is free, and once more before a detector runs. One that
    is too old for its deadline is dropped, but never two in a row, as a loop that only drops frames would be useless. A
    frame on which the engine or the detector fails is dropped too; the tenth in a row (`MAX_CONSECUTIVE_FAILURES`)
    raises the error, except with a live camera whose server does not respond in time.

    Args:
        camera: Gives the frames.
        decider: Decides on them.
        objects: What of each frame to decide on: None for the whole of it, some objects, or a detector that finds them.
        stats: Counts what becomes of the frames.
        smoother: Combines the decisions over the frames; None to take each frame by itself.
    """

    def __init__(
        self,
        camera: Camera,
        decider: Decider,
        objects: Sequence[FoundObject] | ObjectDetector | None,
        stats: LoopStats,
        smoother: Smoother | None,
    ) -> None:
        self._camera, self._decider, self._objects = camera, decider, objects
        self._stats, self._smoother = stats, smoother
        self._next_index: int | None = None  # no frame counts as skipped before the first one of this loop
        self._failures, self._dropped_late = 0, False

    def decide(self) -> Generator[tuple[Frame, tuple[Decision, ...]], None, None]:
        """Yields each frame that was decided on with its decisions, until the frames end.

        Raises:
            EngineError: The engine fails again and again, or on every frame there was.
            DetectorError: The detector fails again and again, or on every frame there was.
            UsageError: A region does not lie inside the first frame.
            CameraError: A region lay inside earlier frames, and does not lie inside one of another size.
        """
        camera, stats = self._camera, self._stats
        failure: EngineError | DetectorError | None = None
        with closing(iter(camera)) as frames:
            while True:
                started = stats.clock()
                read = next(frames, None)
                if read is None:
                    if failure and self._next_index is None:  # else this would look as if there had been no frames
                        raise failure
                    return
                if not camera.live:
                    stats.add_stage_time("capture", stats.clock() - started)
                try:
                    decided = self._decide(read)
                except (EngineError, DetectorError) as error:
                    failure = error
                    self._count_failure(read.index, error)
                    continue
                if decided is not None:
                    self._failures, self._dropped_late = 0, False
                    frame, decisions = decided
                    self._next_index = frame.index + 1
                    if self._smoother:
                        decisions = self._smoother(frame, decisions)
                    stats.add_decisions(decisions)
                    yield frame, decisions

    def _decide(self, read: Frame) -> tuple[Frame, tuple[Decision, ...]] | None:
        """Decides on the newest frame; returns None if it was dropped, as it is too old."""
        camera, decider, objects = self._camera, self._decider, self._objects
        if isinstance(objects, ObjectDetector):  # without the lock: other cameras may use the engine meanwhile
            frame = camera.latest(read)
            if self._drop_if_too_old(objects.as_if_detected(frame)):
                return None
            found, seconds = objects.find(frame)
            before = self._smoother.views_before(frame, found) if self._smoother else ()
            with decider.lock():
                decisions = decide_on(decider, frame, found, self._skipped(frame), before)
                return frame, with_detect_time(decisions, seconds)
        with decider.lock():
            frame = camera.latest(read)
            if self._drop_if_too_old(frame):
                return None
            if self._next_index is not None:
                self._check_size(frame, objects or ())
            return frame, decide_on(decider, frame, objects, self._skipped(frame))

    def _check_size(self, frame: Frame, objects: Sequence[FoundObject]) -> None:
        """Checks that the regions, which lay inside the frames before, still do.

        Raises:
            CameraError: One does not, because the camera has changed the size of its frames.
        """
        try:
            for each in objects:
                each.region.crop(frame.image)
        except UsageError as error:
            raise CameraError(f"{self._camera.name}: its frames have another size than before: {error}") from error

    def _skipped(self, frame: Frame) -> int:
        """Returns the number of frames that were dropped since the previous decision."""
        return 0 if self._next_index is None else max(0, frame.index - self._next_index)  # a camera may start anew

    def _drop_if_too_old(self, frame: Frame) -> bool:
        """Returns whether a frame is dropped, as it is too old to be decided on before its deadline."""
        if self._camera.live and not self._dropped_late and not self._decider.can_meet_deadline(frame):
            self._stats.add_drops(Drops(late=1))
            self._dropped_late = True
            return True
        return False

    def _count_failure(self, index: int, error: EngineError | DetectorError) -> None:
        """Counts a frame on which something failed; raises the error if that has happened too often in a row."""
        self._failures += 1
        # A server may come back while a live camera goes on; a file would end without any further decision.
        is_tolerable = isinstance(error, EngineTimeoutError) and self._camera.live
        if self._failures >= MAX_CONSECUTIVE_FAILURES and not is_tolerable:
            raise error
        if self._failures <= MAX_CONSECUTIVE_FAILURES:
            logger.warning("no decision on frame %d: %s", index, error)
        self._stats.add_drops(Drops(detector=1) if isinstance(error, DetectorError) else Drops(engine=1))
