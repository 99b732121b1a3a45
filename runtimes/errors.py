"""The one tree of errors. Each message says what was wanted, what came, and what to do.

AllweatherError
|-- UsageError        an argument has a value that cannot work           (command line: exit 2)
|-- DataError         a data set or image is missing, empty or damaged
|-- TrainingError     a run diverged, or its resume file belongs to another run
|-- CheckpointError   a checkpoint or state dict cannot be read or does not fit
|-- BundleError       a bundle is damaged, hostile, or of another schema
|-- EngineError       an engine is missing, or refuses a model
|   |-- ParityError   an engine answers differently from what the bundle promises
|   |-- EngineTimeoutError an engine over the network has not answered in time
|   `-- NotBuiltError an engine has to be built on this device first
|-- CameraError       a source cannot be opened or read
|-- StalledError      a camera or engine hangs, and was started anew in vain (command line: exit 75)
|-- OutputError       a result cannot be written (folder, permission, full disk)
`-- DependencyError   an optional library is not installed
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class AllweatherError(Exception):
    """Root of all errors raised on purpose; its text is one line made for the user."""


class UsageError(AllweatherError):
    """An argument has a value that cannot work."""


class DataError(AllweatherError):
    """A data set or an image is missing, empty or damaged."""


class TrainingError(AllweatherError):
    """A training run diverged, or its resume file belongs to another run."""


class CheckpointError(AllweatherError):
    """A checkpoint or state dict cannot be read, or does not fit the model."""


class BundleError(AllweatherError):
    """A bundle is damaged, hostile, or of a schema this version does not read."""


class EngineError(AllweatherError):
    """An engine is not there, or refuses a model."""


class ParityError(EngineError):
    """An engine answers the golden frames differently from what the bundle promises."""


class EngineTimeoutError(EngineError):
    """An engine over the network has not answered within the time that was left."""


class NotBuiltError(EngineError):
    """The engine of a model has not been built on this device yet."""


class CameraError(AllweatherError):
    """A source of frames cannot be opened or read."""


class StalledError(AllweatherError):
    """A camera or an engine hangs, and starting it anew inside this process did not help; a new process may."""


class OutputError(AllweatherError):
    """A result cannot be written."""


class DependencyError(AllweatherError):
    """An optional library is not installed."""


def printable(text: str) -> str:
    """`text` as one line without control characters; for words that come from files and other libraries."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, printable and cut to a readable length; its kind where it has no text."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:200])


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is none of `known`: it says which there are, and a near one where there is one."""
    known = list(known)
    near = "".join(f"; did you mean {each}?" for each in difflib.get_close_matches(name, known, 1, 0.4)) or "."
    return UsageError(f"no {kind} is called {name!r}{near} There are: {', '.join(known)}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Maps the operating system's refusals while `path` is written to one clear `OutputError`."""
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full; free some space or choose another place",
            errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
            errno.EACCES: "no permission to write there; choose another place",
            errno.EROFS: "the file system is read-only; choose another place",
            errno.ENOTDIR: "a part of the path is a file, not a folder",
            errno.EEXIST: "a part of the path is a file, not a folder",
            errno.ENOENT: "no file can be made there; choose another place",
        }.get(error.errno or 0, error.strerror or str(error))  # not the name of the file that was written beside
        raise OutputError(f"cannot write {path}: {reason}") from error
