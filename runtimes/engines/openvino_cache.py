"""Cache of the models that OpenVINO has compiled on this device. With it, starting takes a third of the time.

Nothing depends on it: if anything is wrong with the folder or an entry, the model is compiled again. An entry begins
with the SHA-256 of the rest, so that exactly what was verified is what runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from allweather.runtimes.errors import EngineError
from allweather.runtimes.system.private_folder import (
    cache_folder,
    check_private,
    make_private,
    read_private,
    write_private,
)

MAX_CACHE_BYTES = 1 << 30  # total size of the entries that are kept; the least recently used ones are deleted first
DIGEST_BYTES = hashlib.sha256().digest_size


def cached_blob(parts: tuple[object, ...], compile_now: Callable[[], bytes], *, replace: bool = False) -> bytes:
    """Returns a compiled model, from the cache or compiled now.

    Args:
        parts: Everything that the compiled model depends on; parts with the same repr() are the same.
        compile_now: Compiles the model and returns it.
        replace: Compile the model again and replace its entry, which the device has rejected.
    """
    try:
        folder = cache_folder("openvino")
        path = folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.blob"
        check_private(folder.parent, folder)
        make_private(folder)
    except (EngineError, OSError):
        return compile_now()
    with suppress(EngineError, OSError):
        entry = None if replace else read_private(path)
        if entry is not None and hashlib.sha256(entry[DIGEST_BYTES:]).digest() == entry[:DIGEST_BYTES]:
            path.touch()
            return entry[DIGEST_BYTES:]
    blob = compile_now()
    with suppress(OSError):
        write_private(path, hashlib.sha256(blob).digest() + blob)
        _prune(folder)
    return blob


def _prune(folder: Path) -> None:
    """Deletes the least recently used entries until the rest fits."""
    entries = []
    for path in folder.glob("*.blob"):
        with suppress(FileNotFoundError):  # another process may prune at the same time
            status = path.lstat()
            entries.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
