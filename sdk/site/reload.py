"""`Reload`: prepares a new configuration while the old one runs, and keeps the old one if the new one is wrong."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.site.open_site import LoadedSite, load_site
from allweather.site.site import Site

logger = logging.getLogger(__name__)

JOIN_SECONDS = 60.0  # for models that are being loaded when the program ends; their libraries would abort the process


class Reload:
    """What SIGHUP does to a running site.

    The first signal starts a thread that reads the configuration and loads its models. If that fails, it is logged, and
    nothing else happens. Otherwise the thread sends the signal once more, and the loops end. A signal that comes
    meanwhile makes it begin anew, as the file may have changed since it was read.

    Args:
        read: Reads the configuration.
        running: The site that runs.

    Attributes:
        is_outdated: Whether a signal came after what is ready was read.
    """

    def __init__(self, read: Callable[[], Site], running: LoadedSite) -> None:
        self._read, self._running = read, running
        self._ready: LoadedSite | None = None
        self._lock = threading.Lock()  # held where `_ready` and `_closed` change
        self._closed = self.is_outdated = False
        self._thread: threading.Thread | None = None

    def on_hangup(self) -> bool:
        """Returns whether the loops end; starts to prepare the new configuration if it is not being prepared."""
        if self._ready is not None:
            return True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._prepare, name="reload", daemon=True)
            self._thread.start()
        else:
            self.is_outdated = True
        return False

    def take(self) -> LoadedSite | None:
        """Returns the new site, once it is loaded; the caller closes it from now on."""
        with self._lock:
            ready, self._ready = self._ready, None
            return ready

    def join(self) -> None:
        """Waits until nothing is being prepared, for a limited time."""
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    def close(self) -> None:
        """Gives up what is being prepared or was not taken."""
        with self._lock:
            self._closed = True
        self.join()
        ready = self.take()
        if ready is not None:
            ready.close_unless_shared(self._running)

    def _prepare(self) -> None:
        ready = self._read_newest()
        if ready is None:
            return
        with self._lock:
            if self._closed:  # the program ends meanwhile
                ready.close_unless_shared(self._running)
                return
            self._ready = ready
        main = threading.main_thread().ident
        assert main is not None, "it runs"
        signal.pthread_kill(main, signal.SIGHUP)

    def _read_newest(self) -> LoadedSite | None:
        """Returns the site with its models; None if it cannot be loaded, which is logged."""
        while not self._closed:
            self.is_outdated = False
            try:
                ready = reloaded(self._read(), self._running)
            except AllweatherError as error:
                logger.error("the configuration stays as it was: %s", error)
                if not self.is_outdated:
                    return None
                continue
            if not self.is_outdated:
                return ready
            ready.close_unless_shared(self._running)
        return None


def reloaded(site: Site, running: LoadedSite) -> LoadedSite:
    """Returns a site with its models: those that run, if the site asks for the same and the bundle is still that one.

    Raises:
        AllweatherError: The models cannot be loaded, or the priority of the program would change.
    """
    before = running.site
    if (site.realtime, site.cores) != (before.realtime, before.cores):
        raise UsageError("realtime and cores hold for the whole program: start it again to change them")
    same = site.models == before.models and _uses(site) == _uses(before)
    if same and Bundle.open(site.models.bundle).manifest == running.manifest:  # a path may lead to another bundle now
        return LoadedSite(site, running.perceivers, running.manifest)
    return load_site(site)


def _uses(site: Site) -> list[tuple[float | None, str | None, int]]:
    """Returns what the models were measured for at their start."""
    return [(camera.budget_ms, camera.policy, camera.num_regions) for camera in site.cameras]
