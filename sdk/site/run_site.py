"""Runs a site until its frames end, a signal ends it, or something fails; reads its configuration again on SIGHUP."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from allweather.runtimes.errors import AllweatherError
from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.systemd import SystemdNotifier
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.realtime import realtime
from allweather.runtimes.text import printable, shortened
from allweather.runtimes.types import Decision, Frame
from allweather.site.open_site import LoadedSite, load_site, opened_cameras
from allweather.site.reload import Reload
from allweather.site.site import Site

logger = logging.getLogger(__name__)

MAX_CLASSES_CHARACTERS = 80
TRIAL_SECONDS = 30.0  # in which each camera of a configuration that was read again decides on a frame if all is well


@dataclass(frozen=True)
class SiteReport:
    """What a run of a site was.

    Attributes:
        names: Name of each camera.
        perceivers: What decided on the frames of each; closed.
        reports: Statistics of each.
        signals: Numbers of the signals that were received.
        error: What ended it, such as messages that no broker took; None if its frames ended, or a signal came.
    """

    names: Sequence[str]
    perceivers: Sequence[Perceiver]
    reports: Sequence[LoopReport]
    signals: Sequence[int]
    error: AllweatherError | None = None


def run_site(
    site: Site,
    *,
    limit: int | None,
    on_decisions: Callable[[Frame, Sequence[Decision]], None],
    on_page: Callable[[str], None],
    read_again: Callable[[], Site] | None = None,
) -> SiteReport:
    """Runs a site.

    Args:
        site: What runs.
        limit: Number of frames decided on per camera after which its loop ends; None for no limit.
        on_decisions: Called with each frame and its decisions, by one thread at a time.
        on_page: Called with the address of the page, when it is served.
        read_again: Reads the configuration; called on SIGHUP, which then no longer ends the program. The old one goes
            on if the new one is wrong or fails before it has decided on a frame. None for a site that is not reloaded.

    Returns:
        The statistics of the last configuration, with the error that ended one of its loops, if one did.

    Raises:
        AllweatherError: It ended before any frame was decided on.
    """
    previews: list[LivePreview] = []
    missed: list[int] = []  # signals to read the configuration that came too late for the last one
    with ExitStack() as stack:
        if site.realtime:
            stack.enter_context(realtime(site.cores))
        if read_again is not None:
            missed = stack.enter_context(_noted_hangups())
        running, previous = load_site(site), None
        stack.callback(lambda: running.close())
        stack.enter_context(SystemdNotifier(previews))
        while True:
            loops: Sequence[CameraLoop] = ()
            started = time.monotonic()
            try:
                with ExitStack() as opened:
                    running, loops = _open_or_keep(running, previous, previews, on_page, opened)
                    reload = None if read_again is None else opened.enter_context(closing(Reload(read_again, running)))
                    on_hangup = None if reload is None else reload.on_hangup
                    if reload and missed:
                        missed.clear()
                        reload.on_hangup()
                    signals = run_cameras(loops, limit=limit, on_decisions=on_decisions, on_hangup=on_hangup)
                    ready = None
                    if reload:
                        hangups = signals.count(signal.SIGHUP)
                        # a signal that ends the program may come just before or after the one that reads it again
                        signals = [each for each in signals if each != signal.SIGHUP]
                        ready = None if signals else reload.take()
                        if reload.is_outdated or hangups > 1:
                            missed.append(signal.SIGHUP)
            except AllweatherError as error:
                if previous is None or running is previous or not _is_on_trial(loops, started):
                    if not any(loop.stats.report().decided for loop in loops):
                        raise
                    return _report(running, loops, error=error)
                logger.error("the configuration stays as it was: %s", error)
                running, previous = _loaded_again(previous, running), None
                continue
            if ready is None:
                return _report(running, loops, signals)
            running, previous = ready, running


def _report(
    running: LoadedSite, loops: Sequence[CameraLoop], signals: Sequence[int] = (), error: AllweatherError | None = None
) -> SiteReport:
    names, reports = [loop.camera.name for loop in loops], [loop.stats.report() for loop in loops]
    return SiteReport(names, running.perceivers, reports, signals, error)


def _is_on_trial(loops: Sequence[CameraLoop], started: float) -> bool:
    """Returns whether a configuration is so new that one of its cameras has not decided on any frame.

    Some things are told only then: a log that cannot be written, a region outside of the frame.
    """
    undecided = any(not loop.stats.report().decided for loop in loops)
    return undecided and time.monotonic() < started + TRIAL_SECONDS


def _loaded_again(previous: LoadedSite, failed: LoadedSite) -> LoadedSite:
    """Returns a site with its models, which were closed when another one took its place; closes those of that one."""
    if previous.perceivers is failed.perceivers:
        return previous
    loaded = load_site(previous.site)
    failed.close()
    return loaded


@contextmanager
def _noted_hangups() -> Iterator[list[int]]:
    """Notes each SIGHUP that comes while no loop runs, as it would end the program; yields a list of them."""
    noted: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGHUP, before)


def _open_or_keep(
    site: LoadedSite,
    previous: LoadedSite | None,
    previews: list[LivePreview],
    on_page: Callable[[str], None],
    stack: ExitStack,
) -> tuple[LoadedSite, list[CameraLoop]]:
    """Opens a site; if that fails, the previous one. The engines of the other one are closed.

    Returns:
        The site that is open, and its loops.

    Raises:
        AllweatherError: It cannot be opened, and there is no previous one, or that cannot be opened again.
    """
    try:
        with ExitStack() as attempt:
            loops = _open(site, previews, on_page, attempt)
            stack.enter_context(attempt.pop_all())
    except AllweatherError as error:
        if previous is None:
            raise
        logger.error("the configuration stays as it was: %s", error)
        site.close_unless_shared(previous)
        return previous, _open(previous, previews, on_page, stack)
    if previous is not None:
        logger.info("the configuration was read again; %s decides", printable(site.site.models.bundle))
        before, now = previous.manifest.classes, site.manifest.classes
        if set(before) != set(now):
            listed = (printable(shortened(", ".join(each), MAX_CLASSES_CHARACTERS)) for each in (now, before))
            logger.warning("its classes are others than before: %s, and not %s", *listed)
        previous.close_unless_shared(site)
    return site, loops


def _open(
    loaded: LoadedSite, previews: list[LivePreview], on_page: Callable[[str], None], stack: ExitStack
) -> list[CameraLoop]:
    """Opens cameras and page; returns the loops."""
    loops, opened = stack.enter_context(opened_cameras(loaded, again=bool(previews)))
    if loaded.site.address:
        from allweather.runtimes.monitor.server import MonitorServer

        on_page(stack.enter_context(MonitorServer(opened, loaded.site.address, loaded.site.token)).url)
    previews[:] = opened  # also for systemd
    return loops
