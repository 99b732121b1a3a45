"""Files and folders that appear whole or not at all: written beside, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allweather.runtimes.errors import OutputError, map_write_errors


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it replaces `path`, else it vanishes.

    The temporary name keeps the suffix of `path`, as some writers choose their format by it.

    Args:
        path: the file to appear. Its folder is made if missing.

    Raises:
        OutputError: the place cannot be written to, or the disk is full.
    """
    with map_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        if path.exists() and not path.is_file():  # root could replace /dev/null
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            _sync(beside)
            beside.chmod(0o666 & ~_umask())  # mkstemp makes it private; a result is as open as any file
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


class _GivenUpError(Exception):
    """Up before anything was written."""


def check_file(path: Path) -> None:
    """Refuses a place where no file could appear, before minutes are spent on its content; nothing is left there.

    Raises:
        OutputError: as `atomic_file`.
    """
    with _tidied(path), suppress(_GivenUpError), atomic_file(path):
        raise _GivenUpError


def check_folder(path: Path, marker: str) -> None:
    """Refuses a place where no folder could appear, before minutes are spent on its content; nothing is left there.

    Raises:
        OutputError: as `atomic_folder`.
    """
    with _tidied(path), suppress(_GivenUpError), atomic_folder(path, marker):
        raise _GivenUpError


@contextmanager
def _tidied(path: Path) -> Iterator[None]:
    """Removes the folders above `path` that were made meanwhile and hold nothing, as a command may be refused yet."""
    with map_write_errors(path):
        made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


@contextmanager
def atomic_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; on success it takes the place of `path`.

    A folder that is already there is replaced only when it is empty or holds `marker`, so that a
    mistyped name cannot delete a person's pictures.

    Args:
        path: the folder to appear.
        marker: name of the file that shows an existing folder to be one of ours.

    Raises:
        OutputError: the place is taken by something else, cannot be written to, or the disk is full.
    """
    with map_write_errors(path):
        if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / marker).is_file())):
            raise OutputError(f"cannot write {path}: it exists and holds no {marker}; name a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield beside
            for file in beside.rglob("*"):
                if file.is_file():
                    _sync(file)
            beside.chmod(0o777 & ~_umask())
            _swap(beside, path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _swap(beside: Path, path: Path) -> None:
    """Puts `beside` at `path`. The old folder is moved away first: rename does not replace a full one."""
    if not path.exists():
        beside.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    try:
        path.rename(old / path.name)
        beside.rename(path)
    finally:
        if not path.exists():  # the second step failed: the old one goes back, and stays in `old` if it cannot
            (old / path.name).rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
