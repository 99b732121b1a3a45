"""`LineLog`: a file of lines, one a decision. It survives a full disk, and its files do not grow without limit."""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from allweather.runtimes.choices import STDOUT
from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.sinks.base import already_open, not_open
from allweather.runtimes.sinks.log_rotation import check_rotation, rotated_path
from allweather.runtimes.system.path_argument import as_path

logger = logging.getLogger(__name__)

MAX_WAITING_LINES = 20_000  # kept in memory while the disk is full: ten minutes at 30 frames per second, some 10 MB
CLOSE_SECONDS = 10.0  # that a reader may take for nothing before it is given up at the end
RETRY_SECONDS = 0.5  # between attempts to write to a full disk


class LineLog:
    """Appends lines to a file that can be read while it grows.

    Unlike results, which appear completely or not at all, the log is written under its own name, and each line is in
    the file as soon as the decision is made (`tail -f`). An existing file is continued, as a supervisor restarts a
    program that failed; an incomplete line, left by a program that was killed, stays a line of its own. A line that
    cannot be written is kept in memory until there is space again. The loop does not wait for that. A file that is
    removed or renamed meanwhile, as logrotate does, is followed by a new one under the same name.

    A pipe is written in the same way: while its reader is slow, lines are kept in memory, and a frame waits half a
    second at most once there are too many; when its reader has gone, the loop ends.

    Args:
        path: The file, whose folder is created if missing; a pipe; or "-" for stdout.
        header: First line of each new file, with its line end; empty for none.
        line_start: What each line begins with, by which a file without a header is known; empty for anything.
        rotate_bytes: When the file has reached this size, it is renamed to `path.1`, replacing an older file of that
            name, and a new file is started; None for a single file.
        fsync: Whether each line must be on the disk itself before the next frame; costs milliseconds per line.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        header: bytes = b"",
        line_start: bytes = b"",
        rotate_bytes: int | None = None,
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stdout = str(path) == STDOUT
        self._path = Path("stdout") if self._stdout else as_path(path)  # as it is called in messages
        self._header, self._line_start = header, line_start
        self._rotate_bytes, self._fsync, self._clock = rotate_bytes, fsync, clock
        self._file: FileIO | None = None
        self._mode = 0  # of the open file: what kind of file it is
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._written = 0  # bytes of the first waiting line that are in the file
        self._lost = 0
        self._next_attempt = -math.inf  # monotonic seconds; -inf while the disk works

    def open(self) -> None:
        """Opens the log at its end.

        Raises:
            OutputError: The path cannot be written to or not be renamed once it is full, is a pipe that nothing reads,
                or begins with another header.
            UsageError: It is open.
        """
        if self._file is not None:
            raise already_open(str(self._path))
        with map_write_errors(self._path):
            self._check_header()
            if self._rotate_bytes and not self._stdout:
                check_rotation(self._path)
            if not self._stdout:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            torn = not self._stdout and _ends_within_line(self._path)
            self._open_file()
        if torn:
            self._waiting.append(b"\n")

    def append(self, line: bytes) -> None:
        """Appends one line, or keeps it in memory while the disk is full or the reader of a pipe is slow.

        Args:
            line: The line with its line end.

        Raises:
            BrokenPipeError: The reader of the pipe has gone.
            UsageError: It is not open.
        """
        if self._file is None:
            raise not_open(str(self._path))
        self._waiting.append(line)
        if self._clock() >= self._next_attempt:
            self._try_to_write()
        if len(self._waiting) > MAX_WAITING_LINES and self._is_pipe:
            self._wait_for_reader(RETRY_SECONDS)
            self._try_to_write()
        if len(self._waiting) > MAX_WAITING_LINES:
            del self._waiting[1 if self._written or self._waiting[0] is self._header else 0]
            self._lost += 1

    def close(self) -> None:
        """Writes the lines that are kept in memory, and closes the log.

        Raises:
            OutputError: Some lines could not be written.
            BrokenPipeError: The reader of the pipe has gone.
        """
        if self._file is None:
            return
        try:
            while self._is_pipe and self._waiting and self._wait_for_reader(CLOSE_SECONDS):
                self._try_to_write()
            self._write_waiting()
        except OutputError as error:
            missing = self._lost + sum(line is not self._header for line in self._waiting)
            raise OutputError(f"{error}; {missing} decisions are missing in it") from error
        finally:
            file, self._file = self._file, None
            with map_write_errors(self._path):
                file.close()
        if self._lost:
            cause = "its reader was too slow" if self._is_pipe else "its disk was full for too long"
            raise OutputError(f"{self._lost} decisions are missing in {self._path}: {cause}")

    @property
    def lost(self) -> int:
        """Number of lines that were dropped so far because too many waited."""
        return self._lost

    @property
    def _is_pipe(self) -> bool:
        return stat.S_ISFIFO(self._mode) or stat.S_ISSOCK(self._mode)

    @property
    def _is_file(self) -> bool:
        return stat.S_ISREG(self._mode) and not self._stdout

    def _try_to_write(self) -> None:
        """Writes what waits, as far as possible.

        Raises:
            BrokenPipeError: The reader of the pipe has gone.
        """
        try:
            self._write_waiting()
            self._next_attempt = -math.inf
        except BrokenPipeError:
            self._waiting.clear()  # nobody will read it
            raise
        except OutputError as error:
            if self._is_pipe:  # that its reader is slow for a moment is no fault, and it may read on at any time
                return
            if self._next_attempt == -math.inf:
                logger.error("%s; decisions are kept in memory until then", error)
            self._next_attempt = self._clock() + RETRY_SECONDS

    def _wait_for_reader(self, seconds: float) -> bool:
        """Waits until the pipe takes more, for some seconds at most; returns whether it does."""
        assert self._file is not None, "opened first"
        return bool(select.select((), (self._file,), (), seconds)[1])

    def _open_file(self) -> None:
        # No buffer: a line can be read at once, and a full disk is noticed at the line that did not fit.
        self._file = FileIO(_stdout() if self._stdout else _open(self._path), "a")
        status = os.fstat(self._file.fileno())
        self._mode, self._size = status.st_mode, status.st_size
        if not self._size:
            self._begin(0)

    def _begin(self, size: int) -> None:
        """Goes on in a file that has another size than what was written into it: a whole line, after the header."""
        self._size = size
        if self._header and not size and not (self._waiting and self._waiting[0] is self._header):
            self._waiting.appendleft(self._header)
        self._written = 0

    def _check_header(self) -> None:
        """Checks that a file that is continued begins with the header, or as its lines do.

        Raises:
            OutputError: It has other columns, or other content.
        """
        if self._stdout or not self._path.is_file():
            return
        with self._path.open("rb") as file:
            if self._header and file.readline(len(self._header)) not in (b"", self._header):
                raise OutputError(f"cannot continue {self._path}: it begins with other columns; name another file")
            found = b"" if self._header else file.read(len(self._line_start))
        if not found.isspace() and not self._line_start.startswith(found):
            raise OutputError(
                f"cannot continue {self._path}: it holds something else than decisions; name another file"
            )

    def _write_waiting(self) -> None:
        assert self._file is not None, "opened first"
        with map_write_errors(self._path):
            self._follow_path()
            while self._waiting:
                if self._is_file and self._rotate_bytes and self._size >= self._rotate_bytes and not self._written:
                    self._rotate()
                data = self._waiting[0]
                written = self._file.write(data[self._written :])  # an unbuffered file may take only a part
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                self._size += written
                self._written += written
                if self._written == len(data):
                    self._waiting.popleft()
                    self._written = 0
                if self._fsync and self._is_file:
                    os.fsync(self._file.fileno())

    def _follow_path(self) -> None:
        """Begins a new file if the open one is no longer at the path: what is written into it would be lost."""
        if not self._is_file or not self._waiting:
            return
        assert self._file is not None, "opened first"
        with suppress(FileNotFoundError, NotADirectoryError):
            status = self._path.stat()
            if os.path.samestat(status, os.fstat(self._file.fileno())):
                if status.st_size < self._size:  # emptied, as logrotate's copytruncate does
                    self._begin(status.st_size)
                return
        left = self._file
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open_file()
        left.close()
        self._written = 0  # the whole line goes into the new file
        logger.warning("the log %s was removed or renamed; a new one is begun", self._path)

    def _rotate(self) -> None:
        full = self._file
        assert full is not None
        path, kept = rotated_path(self._path)
        # a missing file was removed by somebody, or an earlier attempt failed after this step
        with map_write_errors(kept), suppress(FileNotFoundError):
            path.replace(kept)
        self._open_file()
        full.close()


def _ends_within_line(path: Path) -> bool:
    """Returns whether the last line of a file has no line end."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _open(path: Path) -> int:
    """Opens a file or pipe for appending, without waiting for the reader of a pipe; returns its descriptor.

    Raises:
        OSError: It cannot be written.
        OutputError: It is a disk.
    """
    if path.is_block_device():
        raise OutputError(f"cannot write {path}: it is a disk; name a file on it")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    return os.open(path, flags, 0o666)


def _stdout() -> int:
    """Returns a descriptor of stdout, which does not block if stdout is a pipe.

    Raises:
        OutputError: Stdout was closed when the program started.
    """
    if sys.__stdout__ is None:
        raise OutputError("cannot write stdout: it is closed; name a file")
    handle = os.dup(1)
    if stat.S_ISFIFO(os.fstat(handle).st_mode):
        with suppress(OSError):  # opened again, as the copy would make stdout itself non-blocking, for other programs
            other = _open(Path(f"/dev/fd/{handle}"))
            os.close(handle)
            return other
    return handle
