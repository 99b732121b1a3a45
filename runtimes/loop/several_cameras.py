"""Runs the loops of one or several cameras on one perceiver, and ends them together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.errors import AllweatherError, CameraError
from allweather.runtimes.loop.deciders import Decider
from allweather.runtimes.loop.detector import Detector
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.signals import StopOnSignal
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.temporal import Smoother, Smoothing
from allweather.runtimes.types import Decision, Frame

logger = logging.getLogger(__name__)

END_TIMEOUT_SECONDS = 5.0  # for the other loops to end after one of them failed, or after a signal


@dataclass(frozen=True)
class CameraLoop:
    """One camera with its perceiver, sinks and statistics.

    Attributes:
        camera: Gives the frames.
        perceiver: Decides on them; loops may share one, or its engines.
        sinks: Take the decisions, in this order.
        stats: Counts what becomes of the frames.
        region: The part of each frame to decide on, or several by their names; None for the whole frame.
        detector: Finds the objects of each frame, which are decided on instead of the whole of it.
        smoothing: How the decisions are combined over the frames; None to take each frame by itself.
    """

    camera: Camera
    perceiver: Perceiver
    sinks: Sequence[Sink]
    stats: LoopStats
    region: Region | Mapping[str, Region] | None = None
    detector: Detector | None = None
    smoothing: Smoothing | None = None


def run_cameras(
    loops: Sequence[CameraLoop],
    *,
    limit: int | None,
    on_decisions: Callable[[Frame, Sequence[Decision]], None],
    on_hangup: Callable[[], bool] | None = None,
) -> list[int]:
    """Runs the loop of each camera until its frames end, or until SIGINT, SIGTERM or SIGHUP is received.

    Args:
        loops: At least one. Each of several has a thread of its own.
        limit: Number of frames decided on per camera after which its loop ends; None for no limit.
        on_decisions: Called with each frame and its decisions, by one thread at a time.
        on_hangup: Called on SIGHUP, in the main thread; returns whether the loops end. They always do if None.

    Returns:
        The numbers of the signals that were received.

    Raises:
        AllweatherError: The error that ended one of the loops; the others are ended too. What goes wrong while they
            end is logged, as it is after a signal.
    """
    if len(loops) == 1:
        only = loops[0]
        with StopOnSignal(only.perceiver, on_decisions, on_hangup=on_hangup) as stopper:
            _run_loop(only, stopper, stopper, limit)
        return stopper.received
    errors: list[BaseException] = []
    failed, ending, callback_lock = threading.Event(), threading.Event(), threading.Lock()

    def call_back(frame: Frame, decisions: Sequence[Decision]) -> None:
        with callback_lock:
            on_decisions(frame, decisions)

    def run_loop(loop: CameraLoop) -> None:
        try:
            _run_loop(loop, loop.perceiver, CallbackSink(call_back), limit)
        except BaseException as error:  # noqa: BLE001 -- raised again by the main thread
            if ending.is_set() and isinstance(error, AllweatherError):
                if not isinstance(error, CameraError):  # which may be that it was closed
                    logger.error("%s", error)
                return
            errors.append(error)
            failed.set()

    threads = [
        threading.Thread(target=run_loop, args=(loop,), name=f"loop {loop.camera.name}", daemon=True) for loop in loops
    ]
    with StopOnSignal(loops[0].perceiver, on_decisions, on_hangup=on_hangup) as stopper:
        for thread in threads:
            thread.start()
        try:
            stopper.open()
            while any(thread.is_alive() for thread in threads) and not failed.wait(0.1):
                continue
            stopper.close()
        except Ended:
            stopper.close()
        ending.set()  # what a loop says at its end, such as what could not be sent, is no reason for the others' end
        closers = [threading.Thread(target=loop.camera.close, daemon=True) for loop in loops]
        for closer in closers:  # all at the same time, as each may wait for a hanging driver
            closer.start()
        for thread in (*closers, *threads):  # a loop finishes the frame that it is deciding on
            thread.join(END_TIMEOUT_SECONDS)
    if errors:
        raise errors[0]
    return stopper.received


def _run_loop(loop: CameraLoop, decider: Decider, last_sink: Sink, limit: int | None) -> None:
    """Runs one loop to its end."""
    sinks = [*loop.sinks, last_sink]
    smoother = Smoother(loop.perceiver.classes, loop.smoothing) if loop.smoothing else None
    run(
        loop.camera, decider, sinks, region=loop.region, detector=loop.detector, limit=limit, stats=loop.stats,
        smoother=smoother,
    )  # fmt: skip
