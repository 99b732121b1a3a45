"""The loop: frames in, decisions out, and an account of the time it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from types import TracebackType
from typing import Protocol

from allweather.runtimes.camera_capture import Camera
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.frame import Decision, Frame
from allweather.runtimes.image import Region
from allweather.runtimes.pace import LoopReport, Tally
from allweather.runtimes.sinks import Ended, Sink

logger = logging.getLogger(__name__)


class Decide(Protocol):
    """What looks at frames; the perceiver's method."""

    def __call__(self, frame: Frame, skipped: int) -> Decision:
        """Decides on `frame`, before which `skipped` frames of the source were passed over."""


def watch(
    camera: Camera, decide: Decide, *, region: Region | None = None
) -> Generator[tuple[Frame, Decision], None, None]:
    """Decides on each frame of a camera, as fast as they are asked for.

    The camera is held open while the generator lives. One that is not already in a `with` block is closed
    when the generator ends or is closed.

    Args:
        camera: gives the frames.
        decide: looks at a frame, or at the region of it, and decides.
        region: the part of each frame to decide on; the whole when None.

    Yields:
        The whole frame, and the decision on it.

    Raises:
        CameraError: the camera fails.
        UsageError: the region does not lie inside the frame.
    """
    expected: int | None = None  # before the first frame of this loop nothing was passed over by it
    with closing(iter(camera)) as frames:
        for frame in frames:
            seen = Frame(region.crop(frame.image), frame.index, frame.captured) if region else frame
            decision = decide(seen, 0 if expected is None else frame.index - expected)
            expected = frame.index + 1
            yield frame, decision


def run(
    camera: Camera,
    decide: Decide,
    sinks: Sequence[Sink],
    *,
    region: Region | None = None,
    limit: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> LoopReport:
    """Watches a camera and hands every decision to the sinks, until the frames end.

    Ends early when a sink, or a signal handler of the program, raises `Ended`. However it ends, all sinks
    are closed. Ctrl-C passes through after that.

    Args:
        camera: gives the frames; closed at the end unless the caller holds it in a `with` block.
        decide: looks at a frame and decides.
        sinks: take the decisions, in this order.
        region: the part of each frame to decide on; the sinks get the whole frame, and the region to draw.
        limit: end after this many decisions, >= 1.
        clock: gives monotonic seconds.

    Raises:
        CameraError: the camera fails.
        OutputError: a sink fails.
        UsageError: the limit is not positive, or the region does not lie inside the frame.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is a number of frames >= 1; got {limit}")
    before = camera.skipped
    tally = Tally(clock=clock)

    def timed(frame: Frame, skipped: int) -> Decision:
        began = clock()
        decision = decide(frame, skipped)
        tally.add(decision, clock() - began)
        return decision

    with camera, _open(sinks), closing(watch(camera, timed, region=region)) as decisions:
        try:
            for count, (frame, decision) in enumerate(decisions, start=1):
                _write(sinks, frame, decision, region)
                if count == limit:
                    break
        except Ended:
            logger.info("ended on request")
    return tally.report(camera.skipped.since(before))


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
