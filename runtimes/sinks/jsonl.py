"""A sink that logs decisions as lines of JSON, through full disks and without growing for ever."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.types import Decision, Frame

logger = logging.getLogger(__name__)

KEPT_LINES = 20_000  # waiting for a disk that is full: ten minutes at 30 frames a second, some 10 MB
AGAIN_SECONDS = 0.5  # between attempts on such a disk


class JsonlSink(Sink):
    """Writes one JSON object a line: a log to read while it grows.

    Unlike results, which appear whole or not at all, it is written under its own name, and each line is there as soon
    as it is decided (`tail -f`). A file of that name is continued, as a supervisor starts a program again that failed;
    what a kill left of a line stays a line of its own. A line that cannot be written waits in memory until there is
    room again, and nothing else waits for it: the loop goes on.

    Args:
        path: the file; its folder is made if missing.
        rotate_bytes: when the file has grown so large it becomes `path.1`, a new one is begun, and what was `path.1`
            is gone; None for one file.
        fsync: have each line on the disk itself before the next frame; costs milliseconds a line.
        clock: monotonic seconds.
        now: seconds since 1970, UTC.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int | None = None,
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._limit, self._fsync, self._clock, self._now = path, rotate_bytes, fsync, clock, now
        self._file: FileIO | None = None
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._begun = False  # whether a part of the first waiting line is in the file
        self._lost = 0
        self._again = -math.inf

    def open(self) -> None:
        """Opens the log at its end.

        Raises:
            OutputError: the place cannot be written to.
        """
        with map_write_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torn = _is_torn(self._path)
            self._start()
        if torn:
            self._waiting.append(b"\n")

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Appends one line, or keeps it for later."""
        text = line(decision, self._now())
        self._waiting.append(text.encode("utf-8", "replace"))  # JSON can smuggle lone surrogates into a label
        if len(self._waiting) > KEPT_LINES:
            del self._waiting[1 if self._begun else 0]
            self._lost += 1
        if self._clock() < self._again:
            return
        try:
            self._write_waiting()
            self._again = -math.inf
        except OutputError as error:
            if self._again == -math.inf:
                logger.error("%s; decisions wait in memory for it", error)
            self._again = self._clock() + AGAIN_SECONDS

    def close(self) -> None:
        """Writes what waits, and closes the log.

        Raises:
            OutputError: some lines could not be written.
        """
        if self._file is None:
            return
        try:
            self._write_waiting()
        except OutputError as error:
            raise OutputError(f"{error}; {len(self._waiting) + self._lost} decisions are not in it") from error
        finally:
            file, self._file = self._file, None
            with map_write_errors(self._path):
                file.close()
        if self._lost:
            raise OutputError(f"{self._path} lacks {self._lost} decisions: its disk was full for too long")

    def _start(self) -> None:
        # No buffer: a line is seen at once, and a full disk is heard of at the line that met it.
        self._file = FileIO(self._path, "a")
        self._size = os.fstat(self._file.fileno()).st_size

    def _write_waiting(self) -> None:
        assert self._file is not None, "opened first"
        with map_write_errors(self._path):
            while self._waiting:
                if self._limit and self._size >= self._limit and not self._begun:
                    self._rotate()
                data = self._waiting[0]
                taken = self._file.write(data)  # an unbuffered file may take a part
                self._size += taken
                self._begun = taken < len(data)
                if self._begun:
                    self._waiting[0] = data[taken:]
                else:
                    self._waiting.popleft()
                if self._fsync:
                    os.fsync(self._file.fileno())

    def _rotate(self) -> None:
        full = self._file
        assert full is not None
        with suppress(FileNotFoundError):  # somebody took it away, or an attempt before this one got so far
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._start()
        full.close()


def line(decision: Decision, now: float) -> str:
    """The decision as one line of JSON with its line end; `now` in seconds since 1970."""
    return json.dumps({"time": round(now, 3), **entry(decision)}, ensure_ascii=False, allow_nan=False) + "\n"


def entry(decision: Decision) -> dict[str, Any]:
    """The decision as plain values that JSON knows; what is no finite number is None."""
    return {
        "index": int(decision.index),
        "label": decision.label,
        "confidence": number(decision.confidence),
        "views": list(decision.views),
        "predicted_losses": _numbers(decision.predicted_losses),
        "age": number(decision.age),
        "late": bool(decision.late),
        "skipped": int(decision.skipped),
        "planned_views": int(decision.planned_views),
        "time_left": number(decision.time_left),
        "expected_seconds": number(decision.expected_seconds),
        "reason": decision.reason,
        "times": {name: number(seconds) for name, seconds in asdict(decision.times).items()},
    }


def number(value: float) -> float | None:
    """A plain float, as numpy's are not JSON; None for nan and infinity, which JSON does not know."""
    return float(value) if math.isfinite(value) else None


def _is_torn(path: Path) -> bool:
    """Whether a file ends in the middle of a line."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [number(value) for value in values]
