"""A table of decisions as Parquet: the file appears complete, when it is closed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow
import pyarrow.parquet

from allweather.runtimes.errors import OutputError, first_line
from allweather.runtimes.sinks.outbox import Outbox
from allweather.runtimes.sinks.table.columns import COLUMNS, Row
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.output_lock import output_lock

logger = logging.getLogger(__name__)

ROWS_PER_GROUP = 10_000  # in memory until they are written together; five minutes at 30 frames per second
CLOSE_SECONDS = 60.0  # for what waits to be written at the end
_TEXT = pyarrow.string()
_TYPES = {
    "time": pyarrow.timestamp("ms", tz="UTC"),
    "text": _TEXT,
    "int": pyarrow.int64(),
    "float": pyarrow.float64(),
    "bool": pyarrow.bool_(),
    "texts": pyarrow.list_(_TEXT),
    "floats": pyarrow.list_(pyarrow.float64()),
}
SCHEMA = pyarrow.schema([(column.name, _TYPES[column.kind]) for column in COLUMNS])


class ParquetTable:
    """Writes rows to a file beside `path`, which takes its place when it is closed. A thread of its own writes.

    An existing file is continued: its rows are copied first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Row] = []  # of the group that is not written yet
        self._fault: OutputError | None = None
        self._writing = ExitStack()
        self._outbox: Outbox[Row] = Outbox(str(path), self._take, max_batch=ROWS_PER_GROUP)

    def open(self) -> None:
        """Begins the file, and copies what is there.

        Raises:
            OutputError: It cannot be written, is no such table, or another program writes it.
        """
        self._rows, self._fault = [], None
        with ExitStack() as stack:
            stack.enter_context(output_lock(self._path))  # else the rows of the program that ends first would be lost
            temporary = stack.enter_context(atomic_file(self._path))
            self._writer = stack.enter_context(self._mapped(pyarrow.parquet.ParquetWriter(temporary, SCHEMA)))
            self._copy_existing()
            self._outbox.start()
            self._writing = stack.pop_all()

    def append(self, row: Row) -> None:
        """Takes a row, without waiting."""
        self._outbox.put(row)

    def close(self) -> None:
        """Writes what waits, and puts the file in its place.

        Raises:
            OutputError: It could not be written.
        """
        lost = self._outbox.close(CLOSE_SECONDS)
        with self._writing:
            if self._fault:
                raise self._fault
            self._write_group()
        if lost:
            raise OutputError(f"{lost} decisions are missing in {self._path}: its disk was too slow")

    def _take(self, rows: Sequence[Row]) -> int:
        if self._fault:
            return len(rows)
        self._rows += rows
        if len(self._rows) >= ROWS_PER_GROUP:
            try:
                self._write_group()
            except OutputError as error:
                self._fault = error
                logger.error("%s; no further decisions are written to it", error)
        return 0

    def _write_group(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            columns = [list(values) for values in zip(*rows, strict=True)]
            columns[0] = [round(1000 * seconds) for seconds in columns[0]]
            arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            with self._mapped_errors():
                self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=SCHEMA))

    def _copy_existing(self) -> None:
        if not self._path.exists() or not self._path.stat().st_size:
            return
        with self._damage_told(), pyarrow.parquet.ParquetFile(self._path) as existing:
            if not existing.schema_arrow.equals(SCHEMA):
                raise OutputError(f"cannot continue {self._path}: it has other columns; name another file")
            for index in range(existing.num_row_groups):
                group = existing.read_row_group(index)
                with self._mapped_errors():
                    self._writer.write_table(group)

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Turns an error of reading into an `OutputError`."""
        try:
            yield
        except (pyarrow.ArrowException, OSError) as error:
            raise OutputError(
                f"cannot continue {self._path}: it is no Parquet file, or damaged ({first_line(error)}); "
                "name another file"
            ) from error

    @contextmanager
    def _mapped(self, writer: pyarrow.parquet.ParquetWriter) -> Iterator[pyarrow.parquet.ParquetWriter]:
        """Closes a writer at the end of the block, which writes the end of the file."""
        try:
            yield writer
        finally:
            with self._mapped_errors():
                writer.close()

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Turns an error of a library that gives no number of the system's error into an `OutputError`."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {first_line(error)}; free some space") from error
