"""Files and folders that appear completely or not at all: written beside their path, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.system.leftovers import MARK, temporary_beside
from allweather.runtimes.system.path_argument import as_path


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path`. On success the file there replaces `path`; on failure it is deleted.

    If something else than a file has come to `path` meanwhile, what was written is kept under another name.

    The temporary name keeps the suffix of `path`, as some writers choose their format by it. What killed processes left
    behind for the same path is deleted.

    Args:
        path: Path of the file. Its folder is created if it is missing.

    Raises:
        OutputError: The path cannot be written, or the disk is full.
    """
    path = as_path(path)
    with map_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        if path.exists() and not path.is_file():  # root could replace /dev/null
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file")
        _check_owner(path)
        with temporary_beside(path) as temporary:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())  # a temporary file is private; a result has the usual permissions
            if path.exists() and not path.is_file():
                raise _kept_elsewhere(temporary, path, "a folder or device")
            temporary.replace(path)


class _CheckedError(Exception):
    """Ends a check before anything is written."""


def check_file(path: Path | str) -> None:
    """Checks that a file can be written, before minutes are spent on its content. Leaves nothing behind.

    Raises:
        OutputError: As `atomic_file`.
    """
    path = as_path(path)
    with without_new_folders(path), suppress(_CheckedError), atomic_file(path):
        raise _CheckedError


def check_folder(path: Path | str, marker: str) -> None:
    """Checks that a folder can be written, before minutes are spent on its content. Leaves nothing behind.

    Args:
        path: Path of the folder.
        marker: See `atomic_folder`.

    Raises:
        OutputError: As `atomic_folder`.
    """
    path = as_path(path)
    with without_new_folders(path), suppress(_CheckedError), atomic_folder(path, marker):
        raise _CheckedError


@contextmanager
def without_new_folders(path: Path) -> Iterator[None]:
    """Removes the folders above `path` that were created in the `with` block and are empty.

    A command may check or lock its output path first, and then fail for another reason.

    Raises:
        OutputError: The path cannot be looked at, as it is too long or a folder above it is not accessible.
    """
    with map_write_errors(path):
        missing = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


@contextmanager
def atomic_folder(path: Path | str, marker: str) -> Iterator[Path]:
    """Yields a temporary folder beside `path`. On success it replaces `path`; on failure it is deleted.

    A folder that exists already is replaced only if it is empty or holds `marker`, so that a mistyped name cannot
    delete a folder of images. If something else has come to `path` meanwhile, what was written is kept under another
    name.

    Args:
        path: Path of the folder.
        marker: Name of a file that identifies an existing folder as one that allweather has written.

    Raises:
        OutputError: Something else is at the path, it cannot be written, or the disk is full.
    """
    path = as_path(path)
    with map_write_errors(path):
        check_own_name(path)
        _restore_old_folder(path)
        if not _is_replaceable(path, marker):
            raise OutputError(f"cannot write {path}: it exists and holds no {marker}; name a new folder")
        _check_owner(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path, folder=True) as temporary:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            temporary.chmod(0o777 & ~_umask())
            if not _is_replaceable(path, marker):
                raise _kept_elsewhere(temporary, path, f"something without {marker}")
            _replace_folder(temporary, path)


def _check_owner(path: Path) -> None:
    """Checks that what is at a path may be replaced: in a sticky folder such as /tmp, only by its owner.

    Raises:
        OutputError: It belongs to another user.
    """
    if not os.path.lexists(path):
        return
    folder = path.parent.stat()
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, path.lstat().st_uid):
        raise OutputError(
            f"cannot write {path}: it belongs to another user, and in {path.parent} only that user may replace it; "
            "name another path"
        )


def _is_replaceable(path: Path, marker: str) -> bool:
    return not path.exists() or (path.is_dir() and (not any(path.iterdir()) or (path / marker).is_file()))


def _kept_elsewhere(temporary: Path, path: Path, came: str) -> OutputError:
    """Renames what was written, which may have taken hours, to a free name beside `path`; returns the error to raise.

    Args:
        temporary: What was written.
        path: Where it should be.
        came: What is there now, for the message.
    """
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    kept = next(name for name in names if not os.path.lexists(name))
    temporary.rename(kept)
    return OutputError(f"cannot write {path}: {came} has come there meanwhile; what was to be written is {kept}")


def check_own_name(path: Path) -> None:
    """Checks that a new folder has a name of its own, so that it can be made beside its path and then renamed.

    Raises:
        OutputError: It is "/", or "." or ends with "..".
    """
    if path.name in ("", ".."):
        raise OutputError(
            f"cannot write {path}: a new folder is made, which needs a name; name one, such as {path}/new"
        )


def _replace_folder(temporary: Path, path: Path) -> None:
    """Moves `temporary` to `path`. The old folder is moved away first, as rename replaces only an empty one."""
    if not path.exists():
        temporary.rename(path)
        return
    old = _old_folder(path)
    _remove_old(old)  # of a process that was killed after it had put the new folder in place
    try:
        path.rename(old)
        temporary.rename(path)
    finally:
        if not path.exists():  # the second step failed: the old folder is moved back, and stays at `old` if it cannot
            old.rename(path)
        _remove_old(old)


def _restore_old_folder(path: Path) -> None:
    """Moves the old folder back to `path` if a process was killed after it had moved it away, or deletes it."""
    old = _old_folder(path)
    if not old.is_dir():
        return
    if path.exists():
        _remove_old(old)
    else:
        old.rename(path)


def _remove_old(old: Path) -> None:
    """Deletes an old folder; of a link to one, the link alone."""
    if old.is_symlink():
        with suppress(OSError):
            old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _old_folder(path: Path) -> Path:
    """Returns where the old folder is between two steps of a replacement."""
    return path.with_name(f".{path.name}-old.{MARK}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """Returns the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
