"""Paths that begin with "~", which a shell does not replace inside an argument such as folder:~/images."""

from __future__ import annotations

from pathlib import Path

from allweather.runtimes.errors import UsageError


def home_path(text: str) -> Path:
    """Returns a path with the home folder in the place of a "~" or "~user" at its beginning.

    Raises:
        UsageError: There is no such user, or it has no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{text!r} begins with a home folder that this system does not know; write ./~ for a folder "
            "of that name, or the whole path"
        ) from error
