"""Runs a site until its frames end, a signal ends it, or something fails; reads its configuration again on SIGHUP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

from allweather.runtimes.errors import AllweatherError
from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.systemd import SystemdNotifier
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.realtime import realtime
from allweather.runtimes.types import Decision, Frame
from allweather.site.open_site import LoadedSite, load_site, opened_cameras
from allweather.site.reload import Reload
from allweather.site.site import Site

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteReport:
    """What a run of a site was.

    Attributes:
        names: Name of each camera.
        perceivers: What decided on the frames of each; closed.
        reports: Statistics of each.
        signals: Numbers of the signals that were received.
    """

    names: Sequence[str]
    perceivers: Sequence[Perceiver]
    reports: Sequence[LoopReport]
    signals: Sequence[int]


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
            on if the new one is wrong. None for a site that is not reloaded.

    Returns:
        The statistics of the last configuration.

    Raises:
        AllweatherError: Whatever ended one of the loops.
    """
    previews: list[LivePreview] = []
    with realtime(site.cores) if site.realtime else nullcontext():
        return _run(site, previews, limit, on_decisions, on_page, read_again)


def _run(
    site: Site,
    previews: list[LivePreview],
    limit: int | None,
    on_decisions: Callable[[Frame, Sequence[Decision]], None],
    on_page: Callable[[str], None],
    read_again: Callable[[], Site] | None,
) -> SiteReport:
    loaded = load_site(site)
    try:
        with SystemdNotifier(previews):
            while True:
                reload = None if read_again is None else Reload(read_again, loaded)
                with ExitStack() as stack:
                    loops = _open(loaded, previews, on_page, stack)
                    on_hangup = None if reload is None else reload.on_hangup
                    reports, signals = run_cameras(loops, limit=limit, on_decisions=on_decisions, on_hangup=on_hangup)
                if reload is None or reload.ready is None:
                    names = [loop.camera.name for loop in loops]
                    return SiteReport(names, loaded.perceivers, reports, signals)
                loaded = _switched(loaded, reload.ready)
    finally:
        loaded.close()


def _open(
    loaded: LoadedSite, previews: list[LivePreview], on_page: Callable[[str], None], stack: ExitStack
) -> list[CameraLoop]:
    """Opens cameras and page; returns the loops."""
    loops, opened = stack.enter_context(opened_cameras(loaded))
    previews[:] = opened  # also for systemd
    if loaded.site.address:
        from allweather.runtimes.monitor.server import MonitorServer

        on_page(stack.enter_context(MonitorServer(opened, loaded.site.address, loaded.site.token)).url)
    return loops


def _switched(old: LoadedSite, new: LoadedSite) -> LoadedSite:
    """Returns the site that runs next: the new one, or the old one if the cameras of the new one cannot be opened."""
    failed = False
    try:
        with opened_cameras(new):  # a device is opened by its loop, so that this costs nothing
            logger.info("the configuration was read again")
    except AllweatherError as error:
        failed = True
        logger.error("the configuration stays as it was: %s", error)
    replaced, kept = (new, old) if failed else (old, new)
    if replaced.perceivers is not kept.perceivers:
        replaced.close()
    return kept
