"""The loop: frames in, decisions out, and an account of the time it took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Protocol

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import EngineError, EngineTimeoutError, OutputError, UsageError
from allweather.runtimes.loop.stats import LoopReport, LoopStats
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Drops, Frame

logger = logging.getLogger(__name__)

FAILURES_MOST = 10  # frames in a row on which the engine fails; more than its guard takes to give up


class Decider(Protocol):
    """What looks at frames; the perceiver."""

    def turn(self) -> AbstractContextManager[object]:
        """In a `with` block nobody else decides."""

    def can_meet_deadline(self, frame: Frame) -> bool:
        """Whether a decision on the frame would come before its deadline, or none on any frame would."""

    def decide(self, frame: Frame, skipped: int) -> Decision:
        """Decides on `frame`, before which `skipped` frames of the source were passed over."""


class FunctionDecider:
    """A function as what looks at frames: nobody else wants a turn, and every frame is worth a look.

    Args:
        function: decides on a frame, before which so many frames of the source were passed over.
    """

    def __init__(self, function: Callable[[Frame, int], Decision]) -> None:
        self._function = function

    def turn(self) -> AbstractContextManager[object]:
        """See `Decider.turn`."""
        return nullcontext()

    def can_meet_deadline(self, frame: Frame) -> bool:
        """See `Decider.can_meet_deadline`."""
        return True

    def decide(self, frame: Frame, skipped: int) -> Decision:
        """Calls the function."""
        return self._function(frame, skipped)


def watch(
    camera: Camera, decider: Decider, *, region: Region | None = None, stats: LoopStats | None = None
) -> Generator[tuple[Frame, Decision], None, None]:
    """Decides on the frames of a camera, as fast as they are asked for.

    Of a live camera the newest frame is taken when the decider's turn has come. One that is too old for its deadline is
    passed over, but never two in a row: a loop that only drops frames is worth nothing. A frame on which the engine
    fails is passed over, too, as long as not too many are in a row; of a live camera any number that a server has not
    answered.

    The camera is held open while the generator lives. One that is not already in a `with` block is closed
    when the generator ends or is closed.

    Args:
        camera: gives the frames.
        decider: looks at a frame, or at the region of it, and decides.
        region: the part of each frame to decide on; the whole when None.
        tally: started; counts what becomes of the frames.

    Yields:
        The whole frame, and the decision on it.

    Raises:
        CameraError: the camera fails.
        EngineError: the engine fails.
        StalledError: camera or engine hangs for good.
        UsageError: the region does not lie inside the frame.
    """
    stats = stats or LoopStats()
    camera.on_wake = stats.turn
    expected: int | None = None  # before the first frame of this loop nothing was passed over by it
    failures, hurried = 0, False
    with closing(iter(camera)) as frames:
        while True:
            began = stats.clock()
            read = next(frames, None)
            if read is None:
                return
            if not camera.live:
                stats.captured(stats.clock() - began)
            with decider.turn():
                frame = camera.latest(read)
                if camera.live and not hurried and not decider.can_meet_deadline(frame):
                    stats.pass_over(Drops(late=1))
                    hurried = True
                    continue
                seen = Frame(region.crop(frame.image), frame.index, frame.captured) if region else frame
                try:
                    decision = decider.decide(seen, 0 if expected is None else frame.index - expected)
                except EngineError as error:
                    failures += 1
                    away = isinstance(error, EngineTimeoutError) and camera.live  # a server comes back; a film does not wait
                    if failures >= FAILURES_MOST and not away:
                        raise
                    if failures <= FAILURES_MOST:
                        logger.warning("no decision on frame %d: %s", frame.index, error)
                    stats.pass_over(Drops(engine=1))
                    continue
            failures, hurried = 0, False
            expected = frame.index + 1
            stats.add(decision)
            yield frame, decision


def run(
    camera: Camera,
    decider: Decider,
    sinks: Sequence[Sink],
    *,
    region: Region | None = None,
    limit: int | None = None,
    stats: LoopStats | None = None,
) -> LoopReport:
    """Watches a camera and hands every decision to the sinks, until the frames end.

    Ends early when a sink, or a signal handler of the program, raises `Ended`. However it ends, all sinks
    are closed. Ctrl-C passes through after that. Several loops may share a decider, each in a thread of its own.

    Args:
        camera: gives the frames; closed at the end unless the caller holds it in a `with` block.
        decider: looks at a frame and decides.
        sinks: take the decisions, in this order.
        region: the part of each frame to decide on; the sinks get the whole frame, and the region to draw.
        limit: end after this many decisions, >= 1.
        tally: keeps the account, for whoever wants to look at it meanwhile.

    Raises:
        CameraError: the camera fails.
        EngineError: the engine fails.
        OutputError: a sink fails.
        StalledError: camera or engine hangs for good.
        UsageError: the limit is not positive, or the region does not lie inside the frame.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is a number of frames >= 1; got {limit}")
    stats = stats or LoopStats()
    stats.start(lambda: camera.skipped)
    try:
        with camera, _open(sinks), closing(watch(camera, decider, region=region, stats=stats)) as decisions:
            for count, (frame, decision) in enumerate(decisions, start=1):
                began = stats.clock()
                _write(sinks, frame, decision, region)
                stats.wrote(stats.clock() - began)
                if count == limit:
                    break
    except Ended:
        logger.info("ended on request")
    return stats.report()


def _write(sinks: Sequence[Sink], frame: Frame, decision: Decision, region: Region | None) -> None:
    """Hands one decision to every sink, also when one of them asks for the end."""
    ended: Ended | None = None
    for sink in sinks:
        try:
            sink.write(frame, decision, region)
        except Ended as wish:
            ended = wish
    if ended:
        raise ended


@contextmanager
def _open(sinks: Sequence[Sink]) -> Iterator[None]:
    """Opens the sinks and closes those that were opened, in whatever way the block is left."""
    with ExitStack() as stack:
        for sink in sinks:
            sink.open()
            stack.push(partial(_close, sink))
        yield


def _close(
    sink: Sink, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Closes `sink` as the last act of a block; the first trouble is the one the caller hears of."""
    try:
        sink.close()
    except OutputError as failure:
        if error is None:
            raise
        logger.error("%s", failure)
