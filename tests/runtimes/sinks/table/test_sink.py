"""Tables of decisions: what stands in them, what they continue, and what a full disk or a killed program leaves."""

from __future__ import annotations

import csv
import errno
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decisions import decision, frame, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import DependencyError, OutputError, UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.record import decision_record
from allweather.runtimes.sinks.table import COLUMNS, TableSink
from allweather.runtimes.sinks.table import parquet_table as parquet
from allweather.runtimes.types import Frame

NAMES = [column.name for column in COLUMNS]
both = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, those of CSV as text."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    rows: list[dict[str, Any]] = parquet.pyarrow.parquet.read_table(path).to_pylist()
    return rows


def indices(path: Path) -> list[int]:
    return [int(row["index"]) for row in read(path)]


def test_a_csv_that_is_emptied_while_it_is_written_begins_with_the_header_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with opened(TableSink(path)) as sink:
        for index in range(4):
            sink.write(frame(index), decision(index))
            if index == 1:
                os.truncate(path, 0)  # as logrotate's copytruncate does
    assert indices(path) == [2, 3]


def test_a_parquet_whose_path_becomes_a_folder_is_kept_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sink = TableSink(path)
    sink.open()
    sink.write(frame(0), decision(0))
    path.mkdir()
    with pytest.raises(OutputError, match=r"a.parquet: a folder or device has come .* written is .*a-1.parquet$"):
        sink.close()
    assert indices(tmp_path / "a-1.parquet") == [0]
    assert not list(tmp_path.glob(".*.tmp*"))


def test_a_row_of_csv_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    named = replace(decision(1, losses=(0.5, float("nan"))), region=Region(1, 2, 3, 4), name="gate", track=7)
    with opened(TableSink(path, source="front", wall_clock=lambda: 1.7e9 + 0.12345)) as sink:
        for index, each in enumerate((decision(0), named)):
            sink.write(Frame(frame().image, index, 0.0, "a, b.png"), each)
            assert len(path.read_text().splitlines()) == index + 2
    plain, row = read(path)
    assert list(row) == NAMES
    expected = {
        "time": "1700000000.123", "source": "front", "file": "a, b.png", "index": "1", "name": "gate", "track": "7",
        "region_x": "1", "region_height": "4", "label": "stop", "confidence": "0.9", "late": "false",
        "views": "identity", "predicted_losses": "0.5 ", "time_left": "", "infer_seconds": "0.01",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert not plain["name"] + plain["track"] + plain["region_x"]


def test_a_row_of_parquet_has_types(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.parquet"
    named = replace(decision(1, losses=(0.5, float("nan"))), region=Region(1, 2, 3, 4), name="gate", track=7)
    with opened(TableSink(path, source="front", wall_clock=lambda: 1.7e9 + 0.12345)) as sink:
        sink.write(frame(1), named)
        sink.write(frame(2), decision(2))
        assert not path.exists()
    row, plain = read(path)
    assert list(row) == NAMES
    expected = {
        "time": datetime.fromtimestamp(1.7e9 + 0.123, timezone.utc), "source": "front", "file": None, "index": 1,
        "track": 7, "region_height": 4, "confidence": 0.9, "late": False, "views": ["identity"],
        "predicted_losses": [0.5, None], "time_left": None, "infer_seconds": 0.01,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert (plain["name"], plain["track"], plain["region_x"]) == (None, None, None)
    assert [each.name for each in path.parent.iterdir()] == ["a.parquet"]


@both
def test_an_existing_table_is_continued(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.touch()  # also an empty file
    for index in range(3):
        with opened(TableSink(path)) as sink:
            sink.write(frame(index), decision(index))
    assert indices(path) == [0, 1, 2]


@both
def test_another_file_is_neither_continued_nor_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("name,price\nbread,3\n")
    with pytest.raises(OutputError, match=r"cannot continue .*; name another file"):
        TableSink(path).open()
    assert path.read_text() == "name,price\nbread,3\n"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_every_value_of_a_line_is_in_a_row() -> None:
    smoothed = replace(decision(1), stable=True, frame_label="go", name="gate", track=1, region=Region(0, 0, 1, 1))
    values = set(decision_record(smoothed)) - {"times", "region"}
    assert values <= set(NAMES)


def test_the_guide_lists_the_columns() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "how-to" / "send-decisions.md").read_text()
    rows = guide.split("| columns |")[1].split("\n\n")[0].splitlines()[2:]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(listed) == sorted(NAMES)


def test_two_programs_do_not_continue_one_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with opened(TableSink(path)) as first:
        with pytest.raises(OutputError, match=r"is writing .*a.parquet; wait until it has ended"):
            TableSink(path).open()  # else the rows of the one that ends first would be lost
        first.write(frame(), decision(3))
    with opened(TableSink(path)) as second:
        second.write(frame(), decision(4))
    assert indices(path) == [3, 4]


@pytest.mark.parametrize("place", [300, 700, -60, -300])
def test_damaged_parquet_is_not_continued(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.parquet"
    with opened(TableSink(path)) as sink:
        for index in range(20):
            sink.write(frame(), decision(index))
    content = bytearray(path.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot continue .*: it is no Parquet file, or damaged"):
        TableSink(path).open()
    assert path.read_bytes() == content


def test_parquet_with_other_columns_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.pyarrow.parquet.write_table(parquet.pyarrow.table({"price": [3]}), path)
    with pytest.raises(OutputError, match="it has other columns; name another file"):
        TableSink(path).open()


@given(
    label=st.text(st.characters()),
    losses=st.lists(st.floats(width=32) | st.floats(width=32).map(np.float32), max_size=4),
)
@settings(max_examples=30)
@both
@pytest.mark.slow
def test_any_decision_is_one_row(
    suffix: str, label: str, losses: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.unlink(missing_ok=True)
    with opened(TableSink(path)) as sink:
        sink.write(frame(), decision(label=label, losses=tuple(losses)))
    (row,) = read(path)
    assert row["label"].isprintable() or not label.isprintable()
    assert row["label"] == label or not label.isprintable()
    if suffix == ".csv":
        assert len(path.read_bytes().splitlines()) == 2


def test_many_rows_become_several_groups_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 10)
    path = tmp_path / "a.parquet"
    for start in (0, 95):
        with opened(TableSink(path)) as sink:
            for index in range(start, start + 95):
                sink.write(frame(index), decision(index))
    assert indices(path) == [*range(190)]
    assert parquet.pyarrow.parquet.ParquetFile(path).num_row_groups >= 4


def test_a_full_disk_leaves_the_parquet_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 2)
    path = tmp_path / "a.parquet"
    with opened(TableSink(path)) as sink:
        sink.write(frame(0), decision(0))
    before = path.read_bytes()
    sink = TableSink(path)
    sink.open()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parquet.pyarrow.parquet.ParquetWriter, "write_table", full)
    for index in range(9):
        sink.write(frame(index), decision(index))
    with pytest.raises(OutputError, match=r"cannot write .*a\.parquet: .*No space left on device"):
        sink.close()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]
    assert sum("no further decisions are written" in record.getMessage() for record in caplog.records) == 1


@both
@pytest.mark.slow
def test_a_program_that_is_killed_leaves_a_table_that_can_be_continued(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    with opened(TableSink(path)) as sink:
        sink.write(frame(0), decision(0))
    code = f"""
import sys
sys.path += {sys.path!r}
from decisions import decision, frame
from allweather.runtimes.sinks.table import TableSink
sink = TableSink({str(path)!r})
sink.open()
sink.write(frame(1), decision(1))
print("written", flush=True)
input()
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdout
    assert program.stdout.readline() == b"written\n"
    program.send_signal(signal.SIGKILL)
    program.communicate()
    with opened(TableSink(path)) as sink:
        sink.write(frame(2), decision(2))
    assert indices(path) == ([0, 1, 2] if suffix == ".csv" else [0, 2])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_is_no_table_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"a table of decisions ends in \.csv or \.parquet; got a\.xlsx"):
        TableSink("a.xlsx")
    monkeypatch.delitem(sys.modules, "allweather.runtimes.sinks.table.parquet_table")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"needs pyarrow, .*: pip install 'allweather\[parquet\]'"):
        TableSink(tmp_path / "a.parquet")
