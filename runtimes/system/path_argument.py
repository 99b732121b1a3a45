"""Paths as the Python API takes them: text or a `Path`, checked and converted where they come in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from allweather.runtimes.errors import UsageError


def as_path(path: Path | str, what: str = "a file or folder") -> Path:
    """Returns a path that may be given as text.

    Args:
        path: Text, a Path, or another `os.PathLike` of text.
        what: What the path names, for the message.

    Raises:
        UsageError: It is something else, or text that names nothing: empty, or with a null character.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{what} is named by its path, as text or a Path; got {type(path).__name__}")
    if not text or "\0" in text:
        fault = "text with a null character" if text else "an empty text"
        raise UsageError(f"{what} is named by its path; got {fault}")
    return Path(text)


def out_of_reach(path: Path) -> str:
    """Returns why the system does not even look whether something is at a path, and what to do, or "" if it does.

    `Path.exists()` and its like raise an error then: a folder may not be entered, or a name is too long.
    """
    try:
        os.lstat(f"{path}/.")  # fails for a folder that may not be entered, too
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENAMETOOLONG):
            return f"{os.strerror(error.errno)}; check the path, and the permissions of its folders"
    return ""


def real_path(path: Path | str) -> Path:
    """Returns the absolute path behind all links, as `Path.resolve()` does, which fails for a link to itself.

    Raises:
        UsageError: It is no path; see `as_path`.
    """
    return Path(os.path.realpath(as_path(path)))
