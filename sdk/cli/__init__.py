"""The command line: `main` runs it, and each command is one thin function in a file of its own."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

__all__ = ["main"]

SIGNALS = 128  # exit codes above are this and the number of the signal that ended a command
EXIT_INTERRUPTED = SIGNALS + signal.SIGINT
MAX_SIZE_DIGITS = 5  # of the columns and lines of a terminal


def main() -> None:
    """Runs the command line; exits with 0, 1 (failed), 2 (bad usage), 75 (try again) or 130 (Ctrl-C)."""
    _fill_closed_streams()
    _drop_unusable_sizes()
    # FFmpeg itself writes to stderr for each damaged frame; cv2 reads this once, when it opens the first video
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # "?" for letters that the terminal or pipe does not know
            stream.reconfigure(errors="replace")
    try:
        _run()
    except SystemExit as ending:
        if not _flush_streams() and not ending.code:
            raise SystemExit(1) from None
        raise


def _run() -> None:
    try:
        from allweather.cli.app import app

        app()
    except KeyboardInterrupt:  # before or after a command; during one, `handle_errors` reports it
        _end_by_signal(EXIT_INTERRUPTED)
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code > SIGNALS:
            _end_by_signal(ending.code)
        raise
    except (ImportError, MemoryError) as error:  # before a command
        sys.exit(f"error: {_cause_before_a_command(error)}")
    except OSError as error:  # of the help or the version; a command reports its own
        sys.exit(f"error: cannot write to stdout: {error.strerror or error}; free some space or choose another file")


def _cause_before_a_command(error: ImportError | MemoryError) -> str:
    """Says what the machine or the installation lacks.

    Raises:
        ImportError: It lacks nothing that is known.
        MemoryError: As above.
    """
    from allweather.optional_dependencies import explain_missing
    from allweather.runtimes.errors import DependencyError
    from allweather.runtimes.system.shortage import is_shortage, with_cure

    if is_shortage(error):
        return with_cure(error, "")
    try:
        with explain_missing():
            raise error
    except DependencyError as missing:
        return str(missing)


def _flush_streams() -> bool:
    """Writes what is left of both streams; returns whether stdout took it.

    A stream that cannot be written, as on a full disk, is dropped: else Python complains and exits with 120.
    """
    written = True
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
            written = written and name != "stdout"
    return written


def _fill_closed_streams() -> None:
    """Opens /dev/null in the place of each standard stream that is closed.

    Else the next file that is opened takes its number: a log, the bundle or a socket, into which every library that
    writes to stdout or stderr would then write.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _drop_unusable_sizes() -> None:
    """Removes what the environment says of the terminal's size where that is no size.

    Else rich and typer would end with a traceback, or print nothing at all on a terminal of 0 columns.
    """
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdecimal() and len(value) <= MAX_SIZE_DIGITS and int(value)):
            del os.environ[name]


def _end_by_signal(code: int) -> NoReturn:
    """Ends the process after a signal, such as Ctrl-C.

    A thread that is still in a library, which starts an engine or waits for a camera, would crash it when the library's
    own end runs: then the process ends without that.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                if stream is not None:
                    stream.flush()
        os._exit(code)
    sys.exit(code)
