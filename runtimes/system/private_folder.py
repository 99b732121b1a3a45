"""Folders of compiled models, and the files in them.

Such models are programs: who can write there can run anything as this user. So both are checked: the folder, and each
file before it is read.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from allweather.runtimes.errors import EngineError
from allweather.runtimes.system.path_argument import as_path


def cache_folder(name: str) -> Path:
    """Returns the folder in which `name` caches what it compiles: in XDG_CACHE_HOME or ~/.cache. It need not exist.

    Raises:
        EngineError: This user has no home directory, as in some containers, and XDG_CACHE_HOME is not set either.
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (configured if configured.is_absolute() else Path.home() / ".cache") / "allweather" / name
    except RuntimeError as error:
        raise EngineError(
            "this user has no home directory to keep compiled models in; set HOME, or XDG_CACHE_HOME to a folder"
        ) from error


def can_be_made(folder: Path) -> bool:
    """Returns whether this user may create a folder with those above it, or write into it where it exists."""
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)  # noqa: PTH112 - never raises
    return False


def make_private(folder: Path | str) -> None:
    """Creates a cache folder that other users cannot open.

    Raises:
        EngineError: The folder is a link, belongs to another user, or can be written by others.
        OSError: It cannot be created.
    """
    folder = as_path(folder)
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
        _check_owner(folder, status, "chmod 700")


def read_private(path: Path) -> bytes | None:
    """Returns the content of a file of a cache; None if there is none.

    Raises:
        EngineError: It is a link or not a regular file, belongs to another user, or can be written by others.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would block
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = "a link" if path.is_symlink() else error.strerror
        raise EngineError(f"{path} cannot be read ({reason}); delete it") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise EngineError(f"{path} is not a regular file; delete it")
        _check_owner(path, status, "chmod 600")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(handle)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of a cache, completely or not at all, that only this user can read and write.

    Raises:
        OSError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)  # of mode 600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_owner(path: Path, status: os.stat_result, cure: str) -> None:
    if status.st_uid != os.geteuid():
        raise EngineError(
            f"{path} belongs to user {status.st_uid}, not to {os.geteuid()} who runs this; compiled models are "
            "programs: run as its owner, or set XDG_CACHE_HOME to a folder of your own"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EngineError(f"others can write to {path}, and compiled models are programs: {cure} {path}")
