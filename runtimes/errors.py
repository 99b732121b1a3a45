"""The tree of errors. Each message says what was expected, what came instead, and what to do.

AllweatherError
|-- UsageError              an argument has a value that cannot work           (command line: exit code 2)
|-- DataError               a data set or image is missing, empty or damaged
|-- TrainingError           a training run diverged, or its resume file belongs to another run
|-- CheckpointError         a checkpoint or state dict cannot be read or does not fit
|-- BundleError             a bundle is damaged, hostile, or of a schema that this version does not read
|-- EngineError             an engine is missing, fails, or does not accept a model
|   |-- ParityError         the outputs of an engine differ from the golden outputs in the bundle
|   |-- EngineTimeoutError  an engine on a server did not respond within the time that was left
|   `-- NotBuiltError       an engine has to be built on this device first
|-- DetectorError           a detector fails, hangs, or returns no boxes
|-- CameraError             a source of frames cannot be opened or read
|-- StalledError            a camera, engine or detector hangs, also after a restart  (command line: exit code 75)
|-- OutputError             a result cannot be written (folder, permission, full disk)
`-- DependencyError         an optional library is not installed

All of them can be imported from `allweather`.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from allweather.runtimes.text import printable

_LINE_END = re.compile(r"\s*[\r\n]\s*")
MAX_LINE_CHARACTERS = 200  # quoted at most of the first line of another library's error
MAX_NAME_CHARACTERS = 64  # quoted at most of a name that a file or user gives


class AllweatherError(Exception):
    """Base class of all errors that allweather raises on purpose. Its text is one line that is written for the user."""

    def __str__(self) -> str:
        """Returns the text; what it quotes may have line ends, as an array has, and these become spaces."""
        return _LINE_END.sub(" ", super().__str__())


class UsageError(AllweatherError):
    """An argument has a value that cannot work."""


class DataError(AllweatherError):
    """A data set or an image is missing, empty or damaged."""


class TrainingError(AllweatherError):
    """A training run diverged, or its resume file belongs to another run."""


class CheckpointError(AllweatherError):
    """A checkpoint or state dict cannot be read, or does not fit the model."""


class BundleError(AllweatherError):
    """A bundle is damaged, hostile, or of a schema that this version does not read."""


class EngineError(AllweatherError):
    """An engine is missing, fails, or does not accept a model."""


class ParityError(EngineError):
    """The outputs of an engine on the golden frames differ too much from the golden outputs in the bundle."""


class EngineTimeoutError(EngineError):
    """An engine on a server did not respond within the time that was left."""


class NotBuiltError(EngineError):
    """The engine of a model has not been built on this device yet."""


class CameraError(AllweatherError):
    """A source of frames cannot be opened or read."""


class DetectorError(AllweatherError):
    """A detector fails, hangs, or returns something else than boxes."""


class StalledError(AllweatherError):
    """A camera, an engine or a detector hangs, and restarting it in this process did not help; a new process may."""


class OutputError(AllweatherError):
    """A result cannot be written."""


class DependencyError(AllweatherError):
    """An optional library is not installed."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, printable and of bounded length; its class name if it has no text."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_LINE_CHARACTERS])


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Returns the error to raise for an unknown name. It lists the known names and suggests a similar one.

    Args:
        kind: The kind of thing that the name should stand for, such as "view".
        name: The unknown name; what a caller gives may be no text.
        known: All names that exist.
    """
    known, name = list(known), printable(str(name)[:MAX_NAME_CHARACTERS])
    longer = [each for each in known if name and each.lower().startswith(name.lower())]
    similar = difflib.get_close_matches(name, known, 1, 0.5) or longer
    suggestion = f"; did you mean {similar[0]}?" if similar else "."
    return UsageError(f"no {kind} is called {name!r}{suggestion} There are: {', '.join(known)}")


def check_choice(kind: str, value: object, choices: object) -> None:
    """Checks that a setting is one of its names.

    Args:
        kind: The kind of thing that the name stands for, such as "schedule".
        value: The setting.
        choices: A `Literal` of all names.

    Raises:
        UsageError: It is none of them.
    """
    if not isinstance(value, str) or value not in get_args(choices):
        raise unknown_name(kind, str(value), get_args(choices))


@contextmanager
def map_write_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's errors while `path` is written into one clear `OutputError`.

    Args:
        path: The file or folder that the user wants. The message names it instead of the temporary file beside it that
            was being written.

    Raises:
        OutputError: The body of the `with` block raised an `OSError`.
        BrokenPipeError: It wrote to a pipe or socket whose reader has gone; no advice would help.
    """
    try:
        yield
    except (BrokenPipeError, ConnectionResetError) as error:
        raise BrokenPipeError(errno.EPIPE, f"the reader of {path} has gone") from error
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full; free some space or choose another path",
            errno.EDQUOT: "the disk quota is used up; free some space or choose another path",
            errno.EACCES: "no permission to write there; choose another path",
            errno.EROFS: "the file system is read-only; choose another path",
            errno.ENOTDIR: "a part of the path is a file, not a folder",
            errno.EEXIST: "a part of the path is a file, not a folder",
            errno.EISDIR: "it is a folder; name a file",
            errno.ENXIO: "nothing reads this pipe or device; start its reader first, or name a file",
            errno.EAGAIN: "its reader is too slow",
            errno.ENOENT: "no file can be created there; choose another path",
        }.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error
