"""The loops of `allweather run`: one a camera, all on one perceiver, ended together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.signals import Interrupts
from allweather.runtimes.loop.stats import LoopReport, LoopStats
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import CallbackSink, Ended, Sink
from allweather.runtimes.types import Decision, Frame

ENDING_SECONDS = 5.0  # for the loops of several cameras to end after the first one failed, or a signal


@dataclass(frozen=True)
class CameraLoop:
    """One camera with what its decisions go to."""

    camera: Camera
    sinks: Sequence[Sink]
    stats: LoopStats


def run_cameras(
    loops: Sequence[CameraLoop],
    perceiver: Perceiver,
    *,
    region: Region | None,
    limit: int | None,
    watch: Callable[[Frame, Decision], None],
) -> tuple[list[LoopReport], list[int]]:
    """Runs a loop for each camera until its frames end, or a signal comes.

    Args:
        watched: one or more; with several, each has a thread, and they take turns at the perceiver.
        perceiver: decides.
        region: the part of each frame to decide on.
        limit: decisions of each camera.
        watch: told of each decision, by one thread at a time.

    Returns:
        The account of each loop, and the signals that came.

    Raises:
        AllweatherError: what ended one of the loops; the others are ended, too.
    """
    if len(loops) == 1:
        only = loops[0]
        with Interrupts(perceiver, watch) as interrupts:
            sinks = [*only.sinks, interrupts]
            run(only.camera, interrupts, sinks, region=region, limit=limit, stats=only.stats)
        return [only.stats.report()], interrupts.received
    errors: list[BaseException] = []
    ended, telling = threading.Event(), threading.Lock()

    def tell(frame: Frame, decision: Decision) -> None:
        with telling:
            watch(frame, decision)

    def loop(one: CameraLoop) -> None:
        try:
            sinks = [*one.sinks, CallbackSink(tell)]
            run(one.camera, perceiver, sinks, region=region, limit=limit, stats=one.stats)
        except BaseException as error:  # noqa: BLE001 -- raised again by the thread that waits
            errors.append(error)
            ended.set()

    threads = [threading.Thread(target=loop, args=(one,), name=f"loop {one.camera.name}", daemon=True) for one in loops]
    with Interrupts(perceiver, watch) as interrupts:
        for thread in threads:
            thread.start()
        try:
            interrupts.open()
            while any(thread.is_alive() for thread in threads) and not ended.wait(0.1):
                continue
            interrupts.close()
        except Ended:
            interrupts.close()
        closing = [threading.Thread(target=one.camera.close, daemon=True) for one in loops]
        for closer in closing:  # at once: each may wait for a driver that hangs
            closer.start()
        for thread in (*closing, *threads):  # a loop ends with the frame it decides on
            thread.join(ENDING_SECONDS)
    if errors:
        raise errors[0]
    return [one.stats.report() for one in loops], interrupts.received
