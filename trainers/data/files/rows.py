"""Reads a list of images, a CSV, TSV or Parquet file with the columns path, label and perhaps split, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allweather.runtimes.cameras.image_files.names import is_image_name
from allweather.runtimes.errors import DataError, DependencyError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.text import printable
from allweather.trainers.data.files.names import list_names

# names of each column, in lower case; the other ones are in use by tools that write such lists
PATHS = ("path", "file", "filename", "file_name", "image")
LABELS = ("label", "class")
SPLITS = ("split", "set")
SUFFIXES = (".csv", ".tsv", ".parquet")
MAX_LIST_BYTES = 1 << 30  # of a text; ten million images take less, and all of it is in memory
NEEDED = "a list has the columns path and label, and may have split"


@dataclass(frozen=True)
class Row:
    """An image of a list.

    Attributes:
        line: Where it stands: the number of its line, or in Parquet of its row, from 1.
        path: Path of its file as the list has it.
        label: Name of its class.
        split: Name of its split; "" if the list does not say.
    """

    line: int
    path: str
    label: str
    split: str


def read_rows(file: Path) -> list[Row]:
    """Reads the rows of a list.

    Args:
        file: A file `.csv` (separated by commas or semicolons), `.tsv` or `.parquet`. The text is UTF-8; its first line
            names the columns, or the columns are path, label and perhaps split.

    Raises:
        DataError: The file is missing, of another kind or damaged, lacks a column, or holds no row.
        DependencyError: It is Parquet, and pyarrow is not installed.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        cure = ": a folder is folder:ROOT" if file.is_dir() else ""
        raise DataError(f"a list of images is a file .csv, .tsv or .parquet; got {file}{cure}")
    if not file.is_file():
        raise DataError(f"{file} is no file" if file.exists() else f"there is no list {file}")
    try:
        rows = list(_parquet_rows(file) if suffix == ".parquet" else _text_rows(file, suffix))
    except OSError as error:
        raise DataError(f"the list {file} cannot be read: {error.strerror or first_line(error)}") from error
    if not rows:
        raise DataError(f"the list {file} names no image; {NEEDED}")
    return rows


def _text_rows(file: Path, suffix: str) -> Iterator[Row]:
    if (size := file.stat().st_size) > MAX_LIST_BYTES:
        raise DataError(f"the list {file} has {size} bytes, and a list at most {MAX_LIST_BYTES}; make it Parquet")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            separator = next((sign for sign in ("\t",) * (suffix == ".tsv") + (",", ";", "\t") if sign in first), ",")
            opened.seek(0)
            reader = csv.reader(opened, delimiter=separator, strict=True, skipinitialspace=True)
            yield from _parsed(file, reader)
    except UnicodeDecodeError as error:
        raise DataError(f"the list {file} is not in UTF-8; save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"the list {file} is no valid {suffix[1:].upper()}: {first_line(error)}") from error


def _parsed(file: Path, reader: Any) -> Iterator[Row]:
    columns, width = None, 0
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns, is_header = _columns_of_text(file, cells)
            width = len(cells)
            if is_header:
                continue
        if len(cells) != width:
            raise DataError(
                f"line {reader.line_num} of {file} has {len(cells)} values, and the first line {width}; put values "
                'that hold a separator into quotes, as "a, b"'
            )
        path, label, split = (cells[index] if index is not None else "" for index in columns)
        yield Row(reader.line_num, path, label, split)


def _columns_of_text(file: Path, cells: Sequence[str]) -> tuple[tuple[int, int, int | None], bool]:
    """Returns the places of path, label and split, and whether these cells name them."""
    names = [cell.strip().lower() for cell in cells]
    if not {*PATHS, *LABELS} & {*names} and is_image_name(cells[0].strip()) and len(cells) in (2, 3):
        return (0, 1, 2 if len(cells) == 3 else None), False
    return _columns(file, names), True


def _columns(file: Path, names: Sequence[str]) -> tuple[int, int, int | None]:
    """Returns the places of path, label and split among the names of the columns, in lower case."""
    places = []
    for known in (PATHS, LABELS, SPLITS):
        found = [index for name in known for index, other in enumerate(names) if other == name]
        if len(found) > 1 and names[found[0]] == names[found[1]]:
            raise DataError(f"the list {file} has two columns called {names[found[0]]}; keep one of them")
        places.append(found[0] if found else None)
    path, label, split = places
    if path is None or label is None:
        there = list_names([repr(printable(name[:40])) for name in names])
        raise DataError(
            f"the list {file} has no column {'path' if path is None else 'label'}; {NEEDED}, and its first line has "
            f"{there}"
        )
    return path, label, split


def _parquet_rows(file: Path) -> Iterator[Row]:
    try:
        with isolated_imports():
            import pyarrow
            import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{file} needs pyarrow, which is not installed: pip install 'allweather[datasets]', or save it as .csv"
        ) from error
    try:
        with file.open("rb") as opened:
            parquet = pyarrow.parquet.ParquetFile(opened)
            names = parquet.schema_arrow.names
            places = _columns(file, [name.lower() for name in names])
            table = parquet.read([names[place] for place in places if place is not None])
            columns = [table.column(names[place]).to_pylist() if place is not None else None for place in places]
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataError(f"the list {file} is no valid Parquet: {first_line(error)}") from error
    for row in range(table.num_rows):
        path, label, split = (_text(file, row + 1, column[row]) if column else "" for column in columns)
        yield Row(row + 1, path, label, split)


def _text(file: Path, row: int, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(
        f"row {row} of {file} has a value of the type {type(value).__name__}; paths, labels and splits are texts or "
        "whole numbers"
    )
