"""What commands print, results on stdout and everything else on stderr, and the exit codes that they end with."""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, ParamSpec, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from allweather.cli import EXIT_INTERRUPTED
from allweather.cli.minute_lines import MinuteLines
from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import AllweatherError, OutputError, StalledError, UsageError
from allweather.runtimes.redaction import redacted_addresses
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.text import printable
from allweather.runtimes.text import to_json as to_json

MAX_LABEL_WIDTH = 24  # characters of a row's label that are kept on one line, however narrow the terminal is
INTERRUPT_RETRY_SECONDS = 0.05
EXIT_TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h: supervisors know that a new process may help

P = ParamSpec("P")
R = TypeVar("R")


class PlainConsole(Console):
    """A console that shows text as it is: no markup, no emoji codes (":b:" may be a part of an address), one line.

    What is to have a style is a `Text`. A text of several lines is several calls.
    """

    def __init__(self, *, stderr: bool) -> None:
        """Writes to stdout, or to stderr."""
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints; a line on stderr that a full disk does not take is left out, as it is no reason to end a training.

        Raises:
            OutputError: Stdout cannot be written, and the result would be lost.
            BrokenPipeError: Whoever read the output has left.
        """
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            with suppress(OSError):  # else the next line would be printed together with this one
                self.begin_capture()
                self.end_capture()
            if not self.stderr:
                raise OutputError(
                    f"cannot write to stdout: {error.strerror or error}; free some space or choose another file"
                ) from error

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns the text that is shown for a string, wherever it stands: alone, in a table, in a heading."""
        return super().render_str(printable(text), **options)


out = PlainConsole(stderr=False)
err = PlainConsole(stderr=True)


class Update(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, description: str, total: int | None = None) -> None:
        """Shows how many steps are done, of how many in total where that is known, and what is being done."""


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Makes a command end with one line and exit code 1 or 2 for bad input, and with 130 after Ctrl-C."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        interrupts: list[int] = []
        try:
            with _record_interrupts(interrupts), _log_to_stderr(), explain_missing(), isolated_imports():
                return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise _interrupted() from None
        except BrokenPipeError:  # whoever read the output has left
            sys.stdout = None  # else Python complains when it flushes at exit
            raise typer.Exit(1) from None
        except (RuntimeError, MemoryError) as error:
            if interrupts:
                raise _interrupted() from None
            if _is_out_of_memory(error):
                _print_error("the memory is full; try a smaller --batch-size or --size, or fewer images")
                raise typer.Exit(1) from None
            if "gloo" not in str(error):
                raise
            _print_error("another process of this run has ended; start the run again, and it resumes")
            raise typer.Exit(1) from None
        except (AllweatherError, OSError) as error:
            if interrupts:
                raise _interrupted() from None
            _print_error(str(error))
            raise typer.Exit(_exit_code(error)) from None

    return run


def _is_out_of_memory(error: Exception) -> bool:
    """Returns whether memory ran out: Python's, or torch's on a GPU or a CPU."""
    torch_on_cpu = any(words in str(error) for words in ("DefaultCPUAllocator", "not enough memory"))
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or torch_on_cpu


def _exit_code(error: Exception) -> int:
    if isinstance(error, UsageError):
        return 2
    return EXIT_TEMPORARY_FAILURE if isinstance(error, StalledError) else 1


@contextmanager
def _record_interrupts(interrupts: list[int]) -> Iterator[None]:
    """Records each Ctrl-C, as libraries turn the KeyboardInterrupt into errors of their own.

    A Ctrl-C during an import is delayed to the end of the import: C extensions crash when they are loaded halfway.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if _is_importing(frame):
            main_thread = threading.main_thread().ident
            retry = threading.Timer(INTERRUPT_RETRY_SECONDS, signal.pthread_kill, (main_thread, number))
            retry.daemon = True
            retry.start()
        else:
            previous(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _is_importing(frame: FrameType | None) -> bool:
    while frame and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _interrupted() -> typer.Exit:
    err.print("interrupted", style="yellow")
    return typer.Exit(EXIT_INTERRUPTED)


def _print_error(text: str) -> None:
    err.print(Text("error:", "red"), redacted_addresses(text))


def say(text: str) -> None:
    """Prints a line for the user on stderr."""
    err.print(text)


def print_result(values: Mapping[str, Any], as_json: bool, title: str) -> None:
    """Prints the result of a command on stdout: as one JSON object, or as a table of the values that are not nested."""
    if as_json:
        out.print(json.dumps(to_json(values)))
        return
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    for key, value in values.items():
        if isinstance(value, str | int | float | bool):
            table.add_row(key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    out.print(table)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on stdout. The first row is the header, and the first column labels the rows."""
    header, *body = rows
    table = Table()
    for index, name in enumerate(header):
        width = None if index else min(MAX_LABEL_WIDTH, max(len(row[0]) for row in rows))
        table.add_column(name, justify="right" if index else "left", min_width=width, overflow="fold")  # nothing is cut
    for row in body:
        table.add_row(*row)
    out.print(table)


@contextmanager
def progress_bar(description: str, total: int | None = None, *, lines: bool = True) -> Iterator[Update]:
    """Shows a progress bar on stderr while open; yields the function that moves it.

    Where stderr is no terminal, a line a minute tells how far it is.

    Args:
        description: Text beside the bar.
        total: Number of steps; None if it is not known yet.
        lines: Whether these lines are printed.
    """
    if not err.is_terminal:
        yield MinuteLines(say) if lines else _ignore_progress
        return
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task(printable(description), total=total)

        def update(done: int, description: str, total: int | None = None) -> None:
            bars.update(task, completed=done, description=printable(description), total=total)

        yield update


def _ignore_progress(done: int, description: str, total: int | None = None) -> None:
    """Does nothing: the update of a progress bar that nobody sees."""


class _LineHandler(logging.Handler):
    """Prints each log record as one line, however long it is, as logs are searched by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        err.print(f"{record.levelname:<8} {redacted_addresses(record.getMessage())}")


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Prints what the library tells on stderr while open."""
    handler = _LineHandler()
    logger = logging.getLogger("allweather")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False  # else a handler of the root logger would print it again
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
