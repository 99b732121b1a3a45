"""A sink that logs decisions as lines of JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_text, is_number
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.line_log import LineLog
from allweather.runtimes.sinks.record import event_line, json_line
from allweather.runtimes.types import Decision, Frame


class JsonlSink(Sink):
    """Writes one JSON object per line: a log that can be read while it grows. `LineLog` says what it survives.

    A line is a decision or, if it has the key "event", an event of the camera: that it is lost or back, or that it sees
    worse or better. That it is there at first, and its end, are no lines.

    Args:
        path: The file, whose folder is created if missing; a pipe; or "-" for stdout.
        source: Name of the source of the frames, without passwords; a part of each line unless it is empty.
        rotate_bytes: When the file has reached this size, it is renamed to `path.1`, replacing an older file of that
            name, and a new file is started; None for a single file.
        fsync: Whether each line must be on the disk itself before the next frame; costs milliseconds per line.
        clock: Returns monotonic seconds.
        wall_clock: Returns seconds since 1970, UTC.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        source: str = "",
        rotate_bytes: int | None = None,
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.

        Raises:
            UsageError: `rotate_bytes` is no number of bytes, at least 1, or `source` is no text.
        """
        if rotate_bytes is not None and not (is_number(rotate_bytes) and 1 <= rotate_bytes < math.inf):
            raise UsageError(f"rotate_bytes is a number of bytes, at least 1; got {rotate_bytes!r:.40}")
        check_text("source of a log", source)
        self._log = LineLog(path, line_start=b"{", rotate_bytes=rotate_bytes, fsync=fsync, clock=clock)
        self._source, self._clock, self._wall_clock = source, clock, wall_clock
        self._is_lost = False  # whether a line says that the camera is lost, and none that it is back

    def open(self) -> None:
        """Opens the log at its end.

        Raises:
            OutputError: The path cannot be written to, is a pipe that nothing reads, or holds something else.
        """
        self._log.open()

    def write(self, frame: Frame, decision: Decision) -> None:
        """Appends one line, or keeps it in memory while the disk is full or the reader of a pipe is slow.

        Raises:
            BrokenPipeError: The reader of the pipe has gone.
        """
        line = json_line(decision, self._wall_clock(), source=self._source, file=frame.file)
        self._log.append(line.encode("utf-8", "replace"))  # a label from JSON may hold lone surrogates

    def write_event(self, event: Event) -> None:
        """Appends an event of the camera as a line of its own; see `write`.

        Raises:
            BrokenPipeError: The reader of the pipe has gone.
        """
        if event.kind == "connection":
            before, self._is_lost = self._is_lost, event.state == "waiting"
            if not (self._is_lost or (before and event.state == "live")):
                return
        line = event_line(event, self._wall_clock() - (self._clock() - event.time))
        self._log.append(line.encode("utf-8", "replace"))

    def close(self) -> None:
        """Writes the lines that are kept in memory, and closes the log.

        Raises:
            OutputError: Some lines could not be written.
            BrokenPipeError: The reader of the pipe has gone.
        """
        self._log.close()
