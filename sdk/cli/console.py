"""What commands say: results on stdout, everything else on stderr; and how they end."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import AllweatherError, StalledError, UsageError

LONGEST_NAME = 24  # of a row of a table that is not broken, however narrow the terminal

P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False, soft_wrap=True, emoji=False)  # ":b:" is a part of an address, too
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Ends a command as the design says: one line and exit code 1 or 2 for bad input, 130 for Ctrl-C."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        interrupted: list[int] = []
        try:
            with _noticing(interrupted), _log_to_stderr(), explain_missing():
                return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise _interrupted() from None
        except BrokenPipeError:  # whoever read our output has left
            sys.stdout = None  # else Python complains when it flushes at exit
            raise typer.Exit(1) from None
        except (RuntimeError, MemoryError) as error:
            if interrupted:
                raise _interrupted() from None
            if _is_full(error):
                err.print("[red]error:[/red] the memory is full; try a smaller --batch or --size, or fewer pictures")
                raise typer.Exit(1) from None
            if "gloo" not in str(error):
                raise
            err.print("[red]error:[/red] another process of this run has ended; start the run again, it goes on")
            raise typer.Exit(1) from None
        except (AllweatherError, OSError) as error:
            if interrupted:
                raise _interrupted() from None
            err.print(f"[red]error:[/red] {_plain(str(error))}")
            raise typer.Exit(_exit_code(error)) from None

    return run


def _is_full(error: Exception) -> bool:
    """Whether memory ran out, of Python, or of torch on a GPU or a CPU."""
    told = any(words in str(error) for words in ("DefaultCPUAllocator", "not enough memory"))
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or told


def _exit_code(error: Exception) -> int:
    """2 for bad usage; 75 (EX_TEMPFAIL) where a new process may help, which supervisors know; else 1."""
    return 2 if isinstance(error, UsageError) else 75 if isinstance(error, StalledError) else 1


@contextmanager
def _noticing(interrupted: list[int]) -> Iterator[None]:
    """Notes Ctrl-C while open, as libraries turn the KeyboardInterrupt of it into errors of their own.

    In an import it waits for the end of that: the C parts of libraries crash where they are cut short.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def noticed(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)
        if _importing(frame):
            main = threading.main_thread().ident
            again = threading.Timer(0.05, signal.pthread_kill, (main, number))
            again.daemon = True
            again.start()
        else:
            before(number, frame)

    signal.signal(signal.SIGINT, noticed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _importing(frame: FrameType | None) -> bool:
    while frame and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _interrupted() -> typer.Exit:
    err.print("interrupted", style="yellow")
    return typer.Exit(130)


def say(text: str) -> None:
    """A line for the user, on stderr."""
    err.print(_plain(text))


def result(values: Mapping[str, Any], as_json: bool, title: str) -> None:
    """The command's result on stdout: one JSON object, or a table of the plain values in it."""
    if as_json:
        out.print(json.dumps(plain(values)), markup=False)
        return
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    for key, value in values.items():
        if isinstance(value, str | int | float | bool):
            table.add_row(key.replace("_", " "), _plain(f"{value:.4g}" if isinstance(value, float) else str(value)))
    out.print(table)


def table(rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; the first row is its head, the first column names the rows."""
    head, *body = rows
    shown = Table()
    for number, name in enumerate(head):
        width = None if number else min(LONGEST_NAME, max(len(_plain(row[0])) for row in rows))
        shown.add_column(_plain(name), justify="right" if number else "left", min_width=width)
    for row in body:
        shown.add_row(*map(_plain, row))
    out.print(shown)


def plain(value: Any) -> Any:
    """The same as JSON can say it: dataclasses as objects, tuples as lists, nan and infinity as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr where that is a terminal; yields `update(done, description)`."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(_plain(description), total=total)

        def update(done: int, text: str) -> None:
            bars.update(task, completed=done, description=_plain(text))

        yield update


class _Lines(logging.Handler):
    """One line each, however long: a log is searched by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        err.print(f"{record.levelname:<8} {record.getMessage()}", markup=False)


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """While open, warnings of the library are lines on stderr."""
    handler = _Lines()
    logger = logging.getLogger("allweather")
    before, logger.propagate = logger.propagate, False  # else a handler of the root would say it twice
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _plain(text: str) -> str:
    """Text that rich prints as it is: a file name may hold brackets."""
    return text.replace("[", r"\[")
