"""Networks that OpenVINO compiled on this device before: a start takes a third of the time.

Only a help: whatever is wrong with the folder or an entry, the network is compiled anew. An entry begins with the
SHA-256 of the rest, so that what was verified once is what runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from allweather.runtimes.errors import EngineError, OutputError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.private_folder import cache_folder, check_private, make_private

CACHE_BYTES = 1 << 30  # of entries that are kept; those used longest ago go first
DIGEST = hashlib.sha256().digest_size


def cached_blob(parts: tuple[object, ...], compile_now: Callable[[], bytes], *, refused: bool = False) -> bytes:
    """What was compiled for these parts, from the cache or now.

    Args:
        parts: all that it depends on.
        compile_now: returns it anew.
        refused: what is in the cache is of no use; it is replaced.
    """
    folder = cache_folder("openvino")
    path = folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.blob"
    try:
        check_private(folder.parent, folder)
        make_private(folder)
    except (EngineError, OSError):
        return compile_now()
    with suppress(OSError):
        entry = path.read_bytes()
        if not refused and hashlib.sha256(entry[DIGEST:]).digest() == entry[:DIGEST]:
            path.touch()
            return entry[DIGEST:]
    blob = compile_now()
    with suppress(OSError, OutputError):
        with atomic_file(path) as beside:
            beside.write_bytes(hashlib.sha256(blob).digest() + blob)
        _prune(folder)
    return blob


def _prune(folder: Path) -> None:
    found = []
    for path in folder.glob("*.blob"):
        with suppress(FileNotFoundError):  # another process prunes as well
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if left <= CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        left -= size
