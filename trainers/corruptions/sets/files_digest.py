"""A hash that tells whether the files of a corrupted set have changed, without reading them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def files_digest(source: str) -> str:
    """Returns a hash of the names, sizes and times of the files of a set on disk; of no files for a generated set.

    Args:
        source: What `CorruptedSet.source` says.
    """
    digest = hashlib.sha256()
    for folder, _, names in sorted(os.walk(source)):
        for name in sorted(names):
            digest.update(f"{folder}/{name} {_stamp(Path(folder) / name)};".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:  # a link to nothing; only files of the set are read, which says so where it is one of them
        return "not there"
    return f"{status.st_size} {status.st_mtime_ns}"
