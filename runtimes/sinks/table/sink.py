"""`TableSink`: decisions as a table, CSV or Parquet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from allweather.runtimes.errors import DependencyError, UsageError
from allweather.runtimes.setting_types import check_text
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.table.columns import Row, table_row
from allweather.runtimes.sinks.table.csv_table import CsvTable
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Decision, Frame

SUFFIXES = (".csv", ".parquet")


class Table(Protocol):
    """A table that is being written."""

    def open(self) -> None:
        """Begins the table."""

    def append(self, row: Row) -> None:
        """Appends a row."""

    def close(self) -> None:
        """Completes the table."""


class TableSink(Sink):
    """Writes one row per decision, with the values of a line of `JsonlSink` in columns. An existing table is continued.

    A .csv file has each row as soon as the decision is made, and waits in memory while the disk is full, as the log of
    `JsonlSink` does. A .parquet file is smaller and has types, but no file at all is there before the sink is closed:
    what a program that is killed had decided since its start is lost, and what the file held before stays. If the disk
    is full, that is told at the end, and the file stays as it was before.

    Args:
        path: The file, ending in .csv or .parquet; its folder is created if missing.
        source: Name of the source of the frames, without passwords.
        wall_clock: Returns seconds since 1970, UTC.
    """

    def __init__(self, path: Path | str, *, source: str = "", wall_clock: Callable[[], float] = time.time) -> None:
        """Opens nothing yet.

        Raises:
            UsageError: The path has another suffix.
            DependencyError: The library for Parquet is not installed.
        """
        check_text("source of a table", source)
        path = as_path(path)
        check_suffix(path)
        self._table: Table = CsvTable(path) if path.suffix.lower() == ".csv" else _parquet_table(path)
        self._source, self._wall_clock = source, wall_clock

    def open(self) -> None:
        """Opens the table at its end.

        Raises:
            OutputError: It cannot be written, or is there already with other columns.
        """
        self._table.open()

    def write(self, frame: Frame, decision: Decision) -> None:
        """Appends a row."""
        self._table.append(table_row(decision, self._wall_clock(), source=self._source, file=frame.file))

    def close(self) -> None:
        """Completes the table.

        Raises:
            OutputError: Some rows could not be written.
        """
        self._table.close()


def check_suffix(path: Path) -> None:
    """Checks that a table can be written to a path.

    Raises:
        UsageError: It has another suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a table of decisions ends in {' or '.join(SUFFIXES)}; got {path}")


def _parquet_table(path: Path) -> Table:
    try:
        from allweather.runtimes.sinks.table.parquet_table import ParquetTable
    except ModuleNotFoundError as error:
        raise DependencyError(
            "a .parquet file needs pyarrow, which is not installed: pip install 'allweather[parquet]', or name a .csv"
        ) from error
    return ParquetTable(path)
