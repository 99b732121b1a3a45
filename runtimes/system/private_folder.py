"""Folders of compiled models. Such models are programs: who can write there can run anything as this user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from allweather.runtimes.errors import EngineError


def cache_folder(name: str) -> Path:
    """Returns the folder in which `name` caches what it compiles: in XDG_CACHE_HOME or ~/.cache. It need not exist."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "allweather" / name


def make_private(folder: Path) -> None:
    """Creates a cache folder that other users cannot open.

    Raises:
        EngineError: The folder is a link, belongs to another user, or can be written by others.
        OSError: It cannot be created.
    """
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)
    check_private(folder)


def check_private(*folders: Path) -> None:
    """Checks that nobody else can write to some folders. A folder that does not exist passes the check.

    Raises:
        EngineError: One of them is a link, belongs to another user, or can be written by others.
    """
    for folder in folders:
        try:
            status = folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise EngineError(
                f"{folder} cannot be checked ({error.strerror}); set XDG_CACHE_HOME to another folder"
            ) from error
        if not stat.S_ISDIR(status.st_mode):
            raise EngineError(
                f"{folder} is a link or a file, where compiled models need a folder: delete it, or set XDG_CACHE_HOME"
            )
        if status.st_uid != os.geteuid():
            raise EngineError(
                f"{folder} belongs to user {status.st_uid}, not to {os.geteuid()} who runs this; compiled models are "
                "programs: run as its owner, or set XDG_CACHE_HOME to a folder of your own"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise EngineError(f"others can write to {folder}, and compiled models are programs: chmod 700 {folder}")
