"""Where decisions go. A sink is opened before the first frame, and closed however the loop ends."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict
from io import FileIO
from pathlib import Path

from allweather.runtimes.errors import writing
from allweather.runtimes.frame import Decision, Frame
from allweather.runtimes.image import Region


class Ended(Exception):  # noqa: N818 -- no error: a wish, as StopIteration is
    """Raised by a sink, or by a program's signal handler, to end the loop in good order."""


class Sink(ABC):
    """Takes decisions. One of your own needs `write`; `open` and `close` do nothing unless it says so."""

    def open(self) -> None:  # noqa: B027 -- optional on purpose
        """Makes ready, before the camera is read.

        Raises:
            OutputError: it cannot work.
        """

    @abstractmethod
    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Takes one decision.

        Args:
            frame: the whole frame; not to be written into.
            decision: the decision on it.
            region: the part of the frame that was decided on; the whole when None.

        Raises:
            OutputError: it cannot be written.
            Ended: the loop shall end; the other sinks still get this decision.
        """

    def close(self) -> None:  # noqa: B027 -- optional on purpose
        """Finishes what was written; called once for each `open`, also after an error or Ctrl-C.

        Raises:
            OutputError: what was written is not usable.
        """


class CallbackSink(Sink):
    """Calls a function with each frame and decision. What it raises ends the loop and reaches the caller."""

    def __init__(self, function: Callable[[Frame, Decision], object]) -> None:
        """Keeps the function; what it returns is ignored."""
        self._function = function

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Calls the function."""
        self._function(frame, decision)


class JsonlSink(Sink):
    """Writes one JSON object a line: a log to read while it grows.

    Unlike results, which appear whole or not at all, it is written under its own name, and each line is
    there as soon as it is decided (`tail -f`). A file of that name is replaced.
    """

    def __init__(self, path: Path) -> None:
        """Touches nothing yet.

        Args:
            path: the file; its folder is made if missing.
        """
        self._path = path
        self._file: FileIO | None = None

    def open(self) -> None:
        """Starts an empty log.

        Raises:
            OutputError: the place cannot be written to.
        """
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # No buffer: a line is seen at once, and a full disk is heard of at the line that met it.
            self._file = FileIO(self._path, "w")

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Appends one line.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        assert self._file is not None, "opened first"
        rest = line(decision).encode("utf-8", "replace")  # JSON can smuggle lone surrogates into a label
        with writing(self._path):
            while rest:  # an unbuffered file may take a part
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Closes the log."""
        if self._file is not None:
            with writing(self._path):
                self._file.close()


def line(decision: Decision) -> str:
    """The decision as one line of JSON with its line end; what is no finite number is null."""
    entry = {
        "index": int(decision.index),
        "label": decision.label,
        "confidence": _number(decision.confidence),
        "views": list(decision.views),
        "predicted_losses": _numbers(decision.predicted_losses),
        "age": _number(decision.age),
        "late": bool(decision.late),
        "skipped": int(decision.skipped),
        "wanted": int(decision.wanted),
        "time_left": _number(decision.time_left),
        "expected_seconds": _number(decision.expected_seconds),
        "why": decision.why,
        "times": {name: _number(seconds) for name, seconds in asdict(decision.times).items()},
    }
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    """A plain float, as numpy's are not JSON; None for nan and infinity, which JSON does not know."""
    return float(value) if math.isfinite(value) else None


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]
