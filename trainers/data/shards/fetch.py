"""Fetches shards of web servers into this user's cache, several at once; what is there already is not fetched again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from urllib.parse import unquote, urlsplit

from allweather.runtimes.errors import EngineError, OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.leftovers import is_at, try_lock
from allweather.runtimes.system.private_folder import cache_folder
from allweather.trainers.data.shards.http_client import StatusError, UnreachableError, open_url

AT_ONCE = 4  # files
LOCK_POLL = 0.2  # seconds between two checks whether another process has fetched a file
ABSENT = (403, 404, 410)  # what servers respond where there is no file; some do not say whether there is one
_STRANGE = re.compile(r"[^\w.+-]")

log = logging.getLogger(__name__)


class Cache:
    """The shards of this user that were fetched. Where a server cannot be reached, what is there is used."""

    def __init__(self) -> None:
        self._folder = _make_folder()
        self._stopped, self._offline, self._warning = Event(), Event(), Lock()

    def fetch_all(self, urls: Sequence[str]) -> list[Path]:
        """Returns where the content of URLs lies, and fetches what is not there.

        Raises:
            DataError: One of them cannot be fetched; nothing half-fetched stays.
            OutputError: The cache cannot be written.
        """
        if absent := sum(not self._path(url).exists() for url in urls):
            log.info("fetching %d of %d shards into %s", absent, len(urls), self._folder)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            futures = [pool.submit(self._fetch, url) for url in urls]
            try:
                for number, future in enumerate(as_completed(futures), 1):
                    future.result()
                    if absent and (number * 10) // len(urls) > (number - 1) * 10 // len(urls):
                        log.info("%d of %d shards are there", number, len(urls))
            finally:
                self._stopped.set()
                for future in futures:
                    future.cancel()
        self._stopped.clear()
        return [self._path(url) for url in urls]

    def fetch_if_there(self, url: str) -> Path | None:
        """Returns where the content of a URL lies; None if the server has no such file.

        Raises:
            DataError: It cannot be fetched for another reason.
            OutputError: The cache cannot be written.
        """
        was_offline = self._offline.is_set()
        try:
            return self._fetch(url)
        except StatusError as error:
            if error.status in ABSENT:
                return None
            raise
        except UnreachableError:
            if was_offline:  # the shards came from the cache; it would be there, too
                return None
            raise

    def _path(self, url: str) -> Path:
        """Returns where the content of a URL is kept, whoever asks for it."""
        parts = urlsplit(url)
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        name = _STRANGE.sub("_", unquote(parts.path).rpartition("/")[2])[-100:]
        return self._folder / f"{hashlib.sha256(address.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}-{name}"

    def _fetch(self, url: str) -> Path:
        path = self._path(url)
        if self._is_there(url, path):
            return path
        try:
            with _locked(path, self._stopped):
                if not self._is_there(url, path):  # another process may have fetched it meanwhile
                    self._write(url, path)
        except OutputError as error:
            raise OutputError(f"{error}: XDG_CACHE_HOME names the folder of caches") from error
        return path

    def _is_there(self, url: str, path: Path) -> bool:
        """Returns whether the file is that of the server by its size and time, or the server cannot be reached.

        The time counts, too: other labels in a shard do not change its size, as tar pads each file.
        """
        try:
            state = path.stat()
        except OSError:
            return False
        size = state.st_size
        if self._offline.is_set():
            return True
        try:
            with open_url(url, {"Range": "bytes=0-0"} if size else None) as response:
                return response.total() == size and not (response.changed or 0.0) > state.st_mtime
        except UnreachableError as error:
            with self._warning:
                if not self._offline.is_set():
                    self._offline.set()
                    log.warning("%s; what was fetched before is used", error)
            return True

    def _write(self, url: str, path: Path) -> None:
        with open_url(url) as response, atomic_file(path) as temporary, temporary.open("wb") as file:
            for block in response.blocks():
                if self._stopped.is_set():
                    raise CancelledError
                file.write(block)
            file.flush()
            if response.changed is not None:
                os.utime(temporary, (response.changed, response.changed))


def _make_folder() -> Path:
    """Returns the cache's folder, which is created if it is missing.

    Raises:
        OutputError: It cannot be created, or there is no place for caches.
    """
    try:
        folder = cache_folder("shards")
    except EngineError as error:
        raise OutputError("shards are kept in a cache, and there is none: set HOME, or XDG_CACHE_HOME") from error
    with map_write_errors(folder):
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)  # as that of compiled models beside it
    return folder


@contextmanager
def _locked(path: Path, stopped: Event) -> Iterator[None]:
    """Keeps other processes of this user from fetching a file while open; where no lock can be made, there is none."""
    lock_path = path.with_name(f".{path.name}.lock")
    handle = None
    try:
        handle = _open_locked(lock_path, stopped)
        yield
    finally:
        if handle is not None:
            lock_path.unlink(missing_ok=True)  # before it is unlocked: who waits for it sees that it is gone
            os.close(handle)


def _open_locked(lock_path: Path, stopped: Event) -> int | None:
    while not stopped.is_set():
        try:
            handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError:  # told when the file itself is written
            return None
        if try_lock(handle) and is_at(handle, lock_path):
            return handle
        os.close(handle)
        stopped.wait(LOCK_POLL)
    raise CancelledError
