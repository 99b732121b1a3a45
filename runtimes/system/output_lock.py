"""A lock beside an output, so that two processes with one `--out` cannot harm each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.atomic_files import without_new_folders
from allweather.runtimes.system.leftovers import is_at, sweep_leftovers, try_lock

_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())  # by this call and those around it


@contextmanager
def output_lock(path: Path, *, is_own: bool = False) -> Iterator[None]:
    """Keeps other processes from writing `path` while open, by the file `.<name>.lock` beside it.

    The lock of a process that was killed does not count, and its file is used again and deleted. Temporary files that
    such a process left beside `path` are deleted, too. Where no lock can be made, there is none: whoever writes `path`
    says why it cannot be written.

    Args:
        path: The output, a file or a folder. Folders above it are created, and deleted again if they stay empty.
        is_own: Whether the lock may be held already by the caller or by what called it; it is then not taken again.

    Raises:
        OutputError: Another process or thread writes it, or it cannot be read.
    """
    real = Path(os.path.realpath(path))
    if is_own and real in _held.get():
        yield
        return
    lock_path = real.with_name(f".{real.name}.lock") if real.name else None
    handle = None
    with without_new_folders(real):
        if lock_path is not None:
            with suppress(OSError, ValueError):
                real.parent.mkdir(parents=True, exist_ok=True)
                handle = _open_locked(lock_path, path)
                sweep_leftovers(real)
        _held.set(_held.get() | {real})
        try:
            yield
        finally:
            _held.set(_held.get() - {real})  # perhaps in another thread or task of asyncio than it was taken in
            if handle is not None and lock_path is not None:
                with suppress(OSError):
                    lock_path.unlink()  # before it is unlocked: who waits for it sees that it is gone
                os.close(handle)


def _open_locked(lock_path: Path, path: Path) -> int:
    """Returns the descriptor of the lock file, locked.

    Raises:
        OutputError: Another process has locked it.
        OSError: The file cannot be made.
    """
    while True:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        if not try_lock(handle):
            holder = os.read(handle, 20).decode("ascii", "replace").strip()
            os.close(handle)
            process = f"process {holder}" if holder.isdecimal() else "another process"
            raise OutputError(f"{process} is writing {path}; wait until it has ended, or name another output")
        if is_at(handle, lock_path):
            with suppress(OSError):  # a full disk: the number is only a help
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)  # its owner has ended and deleted it meanwhile
