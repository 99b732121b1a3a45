"""A table of decisions as CSV: each is a line in the file as soon as it is made."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from allweather.runtimes.sinks.line_log import LineLog
from allweather.runtimes.sinks.table.columns import COLUMNS, Row


class CsvTable:
    """Appends rows to a file of CSV (RFC 4180, UTF-8, with a header), as `LineLog` does."""

    def __init__(self, path: Path) -> None:
        self._log = LineLog(path, header=_line(column.name for column in COLUMNS))

    def open(self) -> None:
        """Opens the file at its end.

        Raises:
            OutputError: It cannot be written, or has other columns.
        """
        self._log.open()

    def append(self, row: Row) -> None:
        """Appends a row, or keeps it in memory while the disk is full."""
        self._log.append(_line(map(_cell, row)))

    def close(self) -> None:
        """Completes the file.

        Raises:
            OutputError: Some rows could not be written.
        """
        self._log.close()


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(_cell, value)) if isinstance(value, list) else str(value)
