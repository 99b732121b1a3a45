"""`Reload`: prepares a new configuration while the old one runs, and keeps the old one if the new one is wrong."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from allweather.runtimes.errors import AllweatherError
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

    Attributes:
        ready: The new site, once it is loaded.
    """

    def __init__(self, read: Callable[[], Site], running: LoadedSite) -> None:
        self._read, self._running = read, running
        self.ready: LoadedSite | None = None
        self._thread: threading.Thread | None = None

    def on_hangup(self) -> bool:
        """Returns whether the loops end; starts to prepare the new configuration if it is not being prepared."""
        if self.ready is not None:
            return True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._prepare, name="reload", daemon=True)
            self._thread.start()
        return False

    def join(self) -> None:
        """Waits until nothing is being prepared."""
        if self._thread is not None:
            self._thread.join()

    def _prepare(self) -> None:
        try:
            self.ready = reloaded(self._read(), self._running)
        except AllweatherError as error:
            logger.error("the configuration stays as it was: %s", error)
            return
        main = threading.main_thread().ident
        assert main is not None, "it runs"
        signal.pthread_kill(main, signal.SIGHUP)


def reloaded(site: Site, running: LoadedSite) -> LoadedSite:
    """Returns a site with its models, which are those that run if the site asks for the same.

    Raises:
        AllweatherError: The models cannot be loaded.
    """
    if site.models == running.site.models and _uses(site) == _uses(running.site):
        return LoadedSite(site, running.perceivers)
    return load_site(site)


def _uses(site: Site) -> list[tuple[float | None, str | None]]:
    return [(camera.budget_ms, camera.policy) for camera in site.cameras]
