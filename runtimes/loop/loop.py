"""The loop: reads frames, decides on them, and hands the decisions to sinks."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from operator import methodcaller
from types import TracebackType

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.loop.connection_events import ConnectionEvents
from allweather.runtimes.loop.deciders import Decider, FoundObject
from allweather.runtimes.loop.detector import Detector, ObjectDetector
from allweather.runtimes.loop.health_events import HealthEvents, call_all
from allweather.runtimes.loop.newest_frame import NewestFrame
from allweather.runtimes.loop.stats import LoopReport, LoopStats
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.types import Decision, Frame

logger = logging.getLogger(__name__)


def run(
    camera: Camera,
    decider: Decider,
    sinks: Sequence[Sink],
    *,
    region: Region | Mapping[str, Region] | None = None,
    detector: Detector | None = None,
    limit: int | None = None,
    stats: LoopStats | None = None,
    smoother: Smoother | None = None,
) -> LoopReport:
    """Decides on the frames of a camera until they end, and hands every decision to the sinks.

    Ends early when a sink, or a signal handler of the program, raises `Ended`. However it ends, all sinks are closed;
    Ctrl-C then reaches the caller. Several loops may share a decider, each in a thread of its own.

    Args:
        camera: Gives the frames. It is closed at the end unless the caller holds it open in a `with` block.
        decider: Decides on each frame.
        sinks: Take the decisions, in this order.
        region: The part of each frame to decide on, or several by their names; None for the whole frame. The sinks get
            the whole frame.
        detector: Finds the objects of each frame, which are decided on instead of the whole of it; its time is a part
            of the budget.
        limit: Number of frames decided on after which the loop ends, at least 1; None for no limit.
        stats: Counts what becomes of the frames; another thread may read it meanwhile.
        smoother: Combines the decisions of this camera over its frames; None to take each frame by itself.

    Returns:
        The statistics of the whole run.

    Raises:
        CameraError: The camera fails.
        EngineError: The engine fails.
        DetectorError: The detector fails.
        OutputError: A sink fails.
        StalledError: The camera, the engine or the detector hangs, and restarting it did not help.
        UsageError: The limit is not positive, the region does not lie inside the frame, or there is a detector, too.
    """
    stats = stats or LoopStats()
    try:
        frames = decide_frames(
            camera, decider, sinks, region=region, detector=detector, limit=limit, stats=stats, smoother=smoother
        )
        with closing(frames):
            for _ in frames:
                continue
    except Ended:
        logger.debug("a sink or a signal has ended the loop")
    return stats.report()


def decide_frames(
    camera: Camera,
    decider: Decider,
    sinks: Sequence[Sink] = (),
    *,
    region: Region | Mapping[str, Region] | None = None,
    detector: Detector | None = None,
    limit: int | None = None,
    stats: LoopStats | None = None,
    smoother: Smoother | None = None,
) -> Generator[tuple[Frame, tuple[Decision, ...]], None, None]:
    """Decides on the frames of a camera as fast as the caller takes the decisions; the loop of `run` and `watch`.

    The sinks are opened before the first frame, get the decisions before they are yielded, and are closed when the
    generator ends, fails, or is closed. They are also told when the camera is lost or back, and when it sees worse or
    better. If closing a sink fails, the error is raised; it is only logged if the loop ended by another error or
    because the generator was closed.

    Args:
        camera: Gives the frames. It is open while the generator runs, and closed at its end unless the caller holds it
            open in a `with` block.
        decider: Decides on each frame, or on regions of it.
        sinks: Take the decisions, in this order.
        region: The part of each frame to decide on, or several by their names; None for the whole frame.
        detector: Finds the objects of each frame, which are decided on instead of the whole of it.
        limit: Number of frames decided on after which the loop ends, at least 1; None for no limit.
        stats: Counts what becomes of the frames.
        smoother: Combines the decisions of this camera over its frames; None to take each frame by itself.

    Yields:
        Each whole frame that was decided on, and its decisions: one for the frame, or for each region or object.

    Raises:
        Ended: A sink or a signal handler ended the loop.
        CameraError: The camera fails.
        EngineError: The engine fails.
        DetectorError: The detector fails.
        OutputError: A sink fails.
        StalledError: The camera, the engine or the detector hangs, and restarting it did not help.
        UsageError: The limit is not positive, the region does not lie inside the frame, or there is a detector, too.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is a number of frames >= 1; got {limit}")
    if region is not None and detector is not None:
        raise UsageError("a detector finds the regions to decide on: leave out either the region or the detector")
    stats = stats or LoopStats()
    stats.start(lambda: camera.drops)
    connection, health = ConnectionEvents(camera, sinks), HealthEvents(camera, sinks, stats)
    camera.on_wait = partial(_note_wait, stats, connection)
    with ExitStack() as stack:
        objects = _named(region) if detector is None else stack.enter_context(closing(ObjectDetector(detector)))
        stack.enter_context(camera)
        stack.enter_context(_opened(sinks))
        decided = stack.enter_context(closing(NewestFrame(camera, decider, objects, stats, smoother).decide()))
        for count, (frame, decisions) in enumerate(decided, start=1):
            started = stats.clock()
            connection.note()
            health.add_frame(frame)
            call_all(sinks, methodcaller("write_frame", frame, decisions))
            stats.add_stage_time("sink", stats.clock() - started)
            yield frame, decisions
            if count == limit:
                return
        connection.note_end()


def _note_wait(stats: LoopStats, connection: ConnectionEvents) -> None:
    """Notes that the loop waits for a frame."""
    stats.mark_alive()
    connection.note()


def _named(region: Region | Mapping[str, Region] | None) -> tuple[FoundObject, ...] | None:
    """Returns the parts of a frame that are decided on; None for the whole frame."""
    if region is None:
        return None
    regions = {"": region} if isinstance(region, Region) else region
    return tuple(FoundObject(each, name) for name, each in regions.items())


@contextmanager
def _opened(sinks: Sequence[Sink]) -> Iterator[None]:
    """Opens the sinks, and closes those that were opened however the block is left."""
    with ExitStack() as stack:
        for sink in sinks:
            sink.open()
            stack.push(partial(_close, sink))
        yield


def _close(
    sink: Sink, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Closes a sink at the end of a block. The error that ended the block is kept, and a further one is logged."""
    try:
        sink.close()
    except OutputError as failure:
        if error is None:
            raise
        logger.error("%s", failure)
