"""The loop: reads frames, decides on them, and hands the decisions to sinks."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from types import TracebackType

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import EngineError, EngineTimeoutError, OutputError, UsageError
from allweather.runtimes.loop.deciders import Decider, FoundObject, decide_on
from allweather.runtimes.loop.events import CameraEvents, call_all
from allweather.runtimes.loop.stats import LoopReport, LoopStats
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Drops, Frame

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 10  # frames in a row on which the engine fails; its watchdog gives up earlier


def run(
    camera: Camera,
    decider: Decider,
    sinks: Sequence[Sink],
    *,
    region: Region | Mapping[str, Region] | None = None,
    limit: int | None = None,
    stats: LoopStats | None = None,
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
        limit: Number of frames decided on after which the loop ends, at least 1; None for no limit.
        stats: Counts what becomes of the frames; another thread may read it meanwhile.

    Returns:
        The statistics of the whole run.

    Raises:
        CameraError: The camera fails.
        EngineError: The engine fails.
        OutputError: A sink fails.
        StalledError: The camera or the engine hangs, and restarting it did not help.
        UsageError: The limit is not positive, or the region does not lie inside the frame.
    """
    stats = stats or LoopStats()
    try:
        with closing(decide_frames(camera, decider, sinks, region=region, limit=limit, stats=stats)) as decisions:
            for _ in decisions:
                continue
    except Ended:
        logger.info("a sink or a signal has ended the loop")
    return stats.report()


def decide_frames(
    camera: Camera,
    decider: Decider,
    sinks: Sequence[Sink] = (),
    *,
    region: Region | Mapping[str, Region] | None = None,
    limit: int | None = None,
    stats: LoopStats | None = None,
) -> Generator[tuple[Frame, tuple[Decision, ...]], None, None]:
    """Decides on the frames of a camera as fast as the caller takes the decisions; the loop of `run` and `watch`.

    The sinks are opened before the first frame, get the decisions before they are yielded, and are closed when the
    generator ends, fails, or is closed. They are also told when the camera is lost or back, and when it sees worse or
    better. If closing a sink fails, the error is raised; it is only logged if the loop
    ended by another error or because the generator was closed.

    Args:
        camera: Gives the frames. It is open while the generator runs, and closed at its end unless the caller holds it
            open in a `with` block.
        decider: Decides on each frame, or on regions of it.
        sinks: Take the decisions, in this order.
        region: The part of each frame to decide on, or several by their names; None for the whole frame.
        limit: Number of frames decided on after which the loop ends, at least 1; None for no limit.
        stats: Counts what becomes of the frames.

    Yields:
        Each whole frame that was decided on, and its decisions: one for the frame or for each of its regions.

    Raises:
        Ended: A sink or a signal handler ended the loop.
        CameraError: The camera fails.
        EngineError: The engine fails.
        OutputError: A sink fails.
        StalledError: The camera or the engine hangs, and restarting it did not help.
        UsageError: The limit is not positive, or the region does not lie inside the frame.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is a number of frames >= 1; got {limit}")
    stats = stats or LoopStats()
    stats.start(lambda: camera.drops)
    events = CameraEvents(camera, sinks, stats)
    camera.on_wait = events.on_wait
    with camera, _opened(sinks), closing(_decide(camera, decider, _named(region), stats)) as decided:
        for count, (frame, decisions) in enumerate(decided, start=1):
            events.add_frame(frame)
            started = stats.clock()
            _write(sinks, frame, decisions)
            stats.add_stage_time("sink", stats.clock() - started)
            yield frame, decisions
            if count == limit:
                return


def _decide(
    camera: Camera, decider: Decider, objects: Sequence[FoundObject] | None, stats: LoopStats
) -> Generator[tuple[Frame, tuple[Decision, ...]], None, None]:
    """Reads frames and decides on them, without sinks.

    Of a live camera, the newest frame is taken once the decider is free. One that is too old for its deadline is
    dropped, but never two in a row, as a loop that only drops frames would be useless. A frame on which the engine
    fails is dropped too; the tenth in a row (`MAX_CONSECUTIVE_FAILURES`) raises the error, except with a live camera
    whose server does not respond in time. If the frames end and it has failed on all of them, the error is raised, too.
    """
    next_index: int | None = None  # no frame counts as skipped before the first one of this loop
    failures, dropped_late = 0, False
    failure: EngineError | None = None
    with closing(iter(camera)) as frames:
        while True:
            started = stats.clock()
            read = next(frames, None)
            if read is None:
                if failure and next_index is None:  # a result without any decision would look like that of no frames
                    raise failure
                return
            if not camera.live:
                stats.add_stage_time("capture", stats.clock() - started)
            with decider.lock():
                frame = camera.latest(read)
                if camera.live and not dropped_late and not decider.can_meet_deadline(frame):
                    stats.add_drops(Drops(late=1))
                    dropped_late = True
                    continue
                try:
                    skipped = 0 if next_index is None else frame.index - next_index
                    decisions = decide_on(decider, frame, objects, skipped)
                except EngineError as error:
                    failures, failure = failures + 1, error
                    # A server may come back while a live camera goes on; a file would end without any further decision.
                    is_tolerable = isinstance(error, EngineTimeoutError) and camera.live
                    if failures >= MAX_CONSECUTIVE_FAILURES and not is_tolerable:
                        raise
                    if failures <= MAX_CONSECUTIVE_FAILURES:
                        logger.warning("no decision on frame %d: %s", frame.index, error)
                    stats.add_drops(Drops(engine=1))
                    continue
            failures, dropped_late = 0, False
            next_index = frame.index + 1
            stats.add_decisions(decisions)
            yield frame, decisions


def _named(region: Region | Mapping[str, Region] | None) -> tuple[FoundObject, ...] | None:
    """Returns the parts of a frame that are decided on; None for the whole frame."""
    if region is None:
        return None
    regions = {"": region} if isinstance(region, Region) else region
    return tuple(FoundObject(each, name) for name, each in regions.items())


def _write(sinks: Sequence[Sink], frame: Frame, decisions: Sequence[Decision]) -> None:
    call_all(sinks, lambda sink: sink.write_frame(frame, decisions))


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
