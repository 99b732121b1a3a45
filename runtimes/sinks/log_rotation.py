"""Where a log is renamed to once it is full, and whether that is possible."""

from __future__ import annotations

import os
from pathlib import Path

from allweather.runtimes.choices import ROTATED
from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.atomic_files import check_file


def rotated_path(path: Path) -> tuple[Path, Path]:
    """Returns the file that is renamed, not a link to it such as /dev/stdout, and what it is renamed to."""
    file = Path(os.path.realpath(path))
    return file, file.with_name(file.name + ROTATED)


def check_rotation(path: Path) -> None:
    """Checks that a log can be renamed once it is full; otherwise its decisions would be lost from then on.

    Raises:
        OutputError: Files in its folder may not be renamed, or a folder is in the way.
    """
    file, kept = rotated_path(path)
    if file.exists() and not file.is_file():  # a pipe is never renamed
        return
    try:
        check_file(kept)
        check_file(file)
    except OutputError as error:
        raise OutputError(f"{error} (a log with a limit of its size is renamed to {kept.name})") from error
