"""`Reload`: prepares a new configuration while the old one runs, and keeps the old one if the new one is wrong."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.site.open_site import LoadedSite, load_site
from allweather.site.site import Site

logger = logging.getLogger(__name__)


class Reload:
    """What SIGHUP does to a running site.

    The first signal starts a thread that reads the configuration and loads its models. If that fails, it is logged, and
    nothing else happens. Otherwise the thread sends the signal once more, and the loops end.

    Args:
        read: Reads the configuration.
        running: The site that runs.
    """

    def __init__(self, read: Callable[[], Site], running: LoadedSite) -> None:
        self._read, self._running = read, running
        self._ready: LoadedSite | None = None
        self._lock = threading.Lock()  # held where `_ready` and `_closed` change
        self._closed = False
        self._thread: threading.Thread | None = None

    def on_hangup(self) -> bool:
        """Returns whether the loops end; starts to prepare the new configuration if it is not being prepared."""
        if self._ready is not None:
            return True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._prepare, name="reload", daemon=True)
            self._thread.start()
        return False

    def take(self) -> LoadedSite | None:
        """Returns the new site, once it is loaded; the caller closes it from now on."""
        with self._lock:
            ready, self._ready = self._ready, None
            return ready

    def join(self) -> None:
        """Waits until nothing is being prepared."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Gives up what is being prepared or was not taken."""
        with self._lock:
            self._closed = True
        ready = self.take()
        if ready is not None:
            ready.close_unless_shared(self._running)

    def _prepare(self) -> None:
        try:
            ready = reloaded(self._read(), self._running)
        except AllweatherError as error:
            logger.error("the configuration stays as it was: %s", error)
            return
        with self._lock:
            if self._closed:  # the program ends meanwhile
                ready.close_unless_shared(self._running)
                return
            self._ready = ready
        main = threading.main_thread().ident
        assert main is not None, "it runs"
        signal.pthread_kill(main, signal.SIGHUP)


def reloaded(site: Site, running: LoadedSite) -> LoadedSite:
    """Returns a site with its models, which are those that run if the site asks for the same.

    Raises:
        AllweatherError: The models cannot be loaded, or the priority of the program would change.
    """
    before = running.site
    if (site.realtime, site.cores) != (before.realtime, before.cores):
        raise UsageError("realtime and cores hold for the whole program: start it again to change them")
    if site.models == before.models and _uses(site) == _uses(before):
        return LoadedSite(site, running.perceivers)
    return load_site(site)


def _uses(site: Site) -> list[tuple[float | None, str | None]]:
    return [(camera.budget_ms, camera.policy) for camera in site.cameras]
