"""Temporary files and folders with an owner: those of a process that was killed are found and deleted by a later one.

The process that makes one holds a lock on it (`flock`) for as long as it lives, however it ends.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allweather.runtimes.errors import OutputError

MARK = "tmp"  # a part of each temporary name, so that nobody's own hidden file is taken for one
_RANDOM = r"[a-z0-9_]{8}"  # what tempfile puts into a name


@contextmanager
def temporary_beside(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yields a new file or folder beside `path`, and deletes it at the end if it is still there.

    First, those that killed processes left behind for the same path are deleted. The name keeps the suffix of `path`,
    as some writers choose their format by it.

    Args:
        path: What the temporary one is to become.
        folder: Whether to make a folder.

    Raises:
        OSError: It cannot be made.
    """
    stem, suffix = (path.name, "") if folder else (path.stem, path.suffix)
    prefix, suffix = f".{stem}-", f".{MARK}{suffix}"
    for leftover in _leftovers(path.parent, re.compile(re.escape(prefix) + _RANDOM + re.escape(suffix))):
        _delete(leftover)
    temporary, lock = _make(prefix, suffix, path.parent, folder=folder)
    try:
        yield temporary
    finally:
        _delete(temporary)
        os.close(lock)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a new folder in the system's folder of temporary files, and deletes it at the end.

    First, those that killed processes of this user left behind are deleted.

    Raises:
        OutputError: There is nowhere to put it.
        OSError: It cannot be made.
    """
    with temporary_beside(temporary_root() / f"allweather-{os.getuid()}", folder=True) as folder:
        yield folder


def temporary_root() -> Path:
    """Returns the system's folder of temporary files.

    Raises:
        OutputError: There is none that can be written, as in a container whose file system is read-only.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise OutputError(
            "temporary files have no place: /tmp cannot be written; set TMPDIR to a folder that can"
        ) from error


def sweep_leftovers(path: Path) -> None:
    """Deletes what killed processes that wrote `path`, and the hidden files of unfinished runs beside it, left behind.

    If `path` is a folder, what they left in it is deleted, too.
    """
    beside = re.compile(rf"\.{{1,2}}{re.escape(path.stem)}.*-{_RANDOM}\.{MARK}(\.[\w-]+)?")
    inside = re.compile(rf"\..+-{_RANDOM}\.{MARK}(\.[\w-]+)?")
    for folder, pattern in ((path.parent, beside), (path, inside)):
        for leftover in _leftovers(folder, pattern):
            _delete(leftover)


def try_lock(handle: int, *, wait: bool = False) -> bool:
    """Locks an open file or folder for this process; returns False if another process has it locked.

    A file system without locks, and a system without `flock`, count as locked: what is only a help ends no command.

    Args:
        handle: Descriptor of the file; the lock ends when it is closed, and when the process ends.
        wait: Whether to wait for the other process.
    """
    try:
        import fcntl  # Windows has no such module
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def is_at(handle: int, path: Path) -> bool:
    """Returns whether the open file or folder is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


def _make(prefix: str, suffix: str, parent: Path, *, folder: bool) -> tuple[Path, int]:
    """Returns a new temporary path and the descriptor that holds its lock."""
    while True:
        if folder:
            name = tempfile.mkdtemp(suffix, prefix, parent)
            try:
                lock = os.open(name, os.O_RDONLY)
            except FileNotFoundError:  # another process took it for a leftover before it was opened
                continue
        else:
            lock, name = tempfile.mkstemp(suffix, prefix, parent)
        try_lock(lock, wait=True)
        if is_at(lock, Path(name)):
            return Path(name), lock
        os.close(lock)  # or before it was locked


def _leftovers(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Yields the temporary paths of these names that no process holds; each is locked while the caller has it."""
    try:
        found = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return
    for path in found:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # of another user, or gone meanwhile
            continue
        try:
            if try_lock(handle) and is_at(handle, path):
                yield path
        finally:
            os.close(handle)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
