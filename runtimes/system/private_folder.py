"""Folders of compiled networks, which are programs: of this user alone, as whoever writes there could run anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from allweather.runtimes.errors import EngineError


def cache_folder(name: str) -> Path:
    """Where `name` keeps what it compiled: in XDG_CACHE_HOME or ~/.cache. It need not be there yet."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "allweather" / name


def make_private(folder: Path) -> None:
    """Makes a cache folder, closed to others.

    Raises:
        EngineError: it is a link, another user's, or open to others.
        OSError: it cannot be made.
    """
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, exist_ok=True)
    check_private(folder)


def check_private(*folders: Path) -> None:
    """Checks folders; one that is not there is none that others can write to.

    Raises:
        EngineError: one is a link, another user's, or open to others.
    """
    for part in folders:
        try:
            status = part.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise EngineError(
                f"{part} cannot be looked at ({error.strerror}); set XDG_CACHE_HOME to another"
            ) from error
        if not stat.S_ISDIR(status.st_mode):
            raise EngineError(
                f"{part} is a link or a file, where compiled networks need a folder: delete it, or set XDG_CACHE_HOME"
            )
        if status.st_uid != os.geteuid():
            raise EngineError(
                f"{part} belongs to user {status.st_uid}, not to {os.geteuid()} who runs this; compiled networks are "
                "programs: run as its owner, or set XDG_CACHE_HOME to a folder of your own"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise EngineError(f"others can write to {part}, and compiled networks are programs: chmod 700 {part}")
