"""A list of images is read as a folder of the same images is, and what is wrong with it is said with its line."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
from folder_data import counts, paint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.files.rows import MAX_LIST_BYTES, read_rows
from allweather.trainers.data.registry import dataset_classes, inspect_dataset, open_dataset, open_dataset_of

Table = list[tuple[str, ...]]


def table_of(root: Path) -> Table:
    """Path, label and split of each image of a folder data set."""
    paths = sorted(path.relative_to(root) for path in root.rglob("*.png"))
    return [(path.as_posix(), path.parts[1], path.parts[0]) for path in paths]


def write(file: Path, table: Sequence[Sequence[str]], header: Sequence[str] = ("path", "label", "split")) -> Path:
    rows = [row[: len(header)] if header else row for row in table]
    if file.suffix == ".parquet":
        columns = {name: [row[index] for row in rows] for index, name in enumerate(header)}
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
        return file
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter="\t" if file.suffix == ".tsv" else ",")
        writer.writerows([header, *rows] if header else rows)
    return file


def open_list(file: Path) -> Dataset:
    return open_dataset(f"list:{file}", 16)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_list_is_the_folder_that_it_names(root: Path, suffix: str) -> None:
    file = write(root / f"images{suffix}", table_of(root))
    expected, found = open_dataset(f"folder:{root}", 16), open_list(file)
    for split in ("train", "val", "test"):
        assert torch.equal(getattr(found, split).images, getattr(expected, split).images)
        assert torch.equal(getattr(found, split).labels, getattr(expected, split).labels)
    assert (found.name, found.classes, found.notes) == (f"list:images{suffix}", ("aa", "bb"), ())
    assert inspect_dataset(f"list:{file}") == found.inventory
    assert expected.inventory
    assert found.inventory
    assert [split.images for split in found.inventory.splits] == [split.images for split in expected.inventory.splits]


def test_without_splits_val_and_test_are_held_out(root: Path) -> None:
    file = write(root / "list.csv", [row for row in table_of(root) if row[2] == "train"], ("path", "label"))
    found = open_list(file)
    assert counts(found) == [[10, 10], [1, 1], [1, 1]]
    assert "list.csv lists no image of val: 2 images of train are held out as val" in found.notes[0]


def test_a_list_without_a_header_and_one_with_semicolons(root: Path) -> None:
    table = table_of(root)
    expected = open_list(write(root / "a.csv", table)).fingerprint()
    assert open_list(write(root / "b.csv", table, ())).fingerprint() == expected
    text = "\n\n".join(" ; ".join(row) for row in [("Label", "file_name", "set"), *[(b, a, c) for a, b, c in table]])
    (root / "c.csv").write_text(text, encoding="utf-8-sig")
    assert [len(row.label.strip()) for row in read_rows(root / "c.csv")] == [2] * len(table)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1), min_size=1))
@pytest.mark.slow
def test_labels_and_paths_of_any_text_are_read_as_they_were_written(tmp_path: Path, labels: list[str]) -> None:
    labels = [label.lstrip() for label in labels if label.strip()] or ["a"]
    table = [(f"{label}/{index}.png", label, "train") for index, label in enumerate(labels)]
    for suffix in (".csv", ".tsv", ".parquet"):
        rows = read_rows(write(tmp_path / f"list{suffix}", table))
        assert [(row.path, row.label, row.split) for row in rows] == table


def test_labels_are_matched_by_name(root: Path) -> None:
    file = write(root / "list.csv", table_of(root))
    assert dataset_classes(f"list:{file}") == ("aa", "bb")
    other = open_dataset_of(f"list:{file}", ("bb", "aa"), InputSpec(16, 16))
    assert torch.equal(other.train.labels, 1 - open_list(file).train.labels)
    with pytest.raises(UsageError, match="it lacks cat and it also has bb"):
        open_dataset_of(f"list:{file}", ("aa", "cat"), InputSpec(16, 16))


def test_missing_damaged_and_repeated_files_are_counted(root: Path) -> None:
    table = table_of(root)
    (root / table[0][0]).write_bytes(b"no image")
    (root / "train/aa/005.png").unlink()
    shutil.copy(root / "train/aa/003.png", root / "test/bb/copy.png")
    table += [("test/bb/copy.png", "bb", "test"), table[-1], ("train/aa/006.png", "aa", "val")]
    found = open_list(write(root / "list.csv", table))
    assert counts(found) == [[11, 12], [5, 4], [3, 5]]
    inventory = found.inventory
    assert inventory
    assert [split.unreadable_paths for split in inventory.splits] == [("train/aa/005.png",), (), ("test/aa/000.png",)]
    assert inventory.duplicates == {"train/val": 1, "train/test": 1}
    assert [note for note in found.notes if note == "list.csv names 1 files again, which are used once"]
    assert inspect_dataset(f"list:{root / 'list.csv'}") == inventory


def test_numbers_are_labels_and_absolute_paths_are_taken(root: Path, tmp_path: Path) -> None:
    paths = [str(root / path) for path, _, split in table_of(root) if split == "train"]
    columns = {"image": paths, "class": [index % 2 for index in range(len(paths))]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "numbers.parquet")
    assert open_list(tmp_path / "numbers.parquet").classes == ("0", "1")


def edited(change: Callable[[Table], object]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        table = table_of(root)
        change(table)
        return write(root / "list.csv", table)

    return make


def text(content: str | bytes, name: str = "list.csv") -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return root / name

    return make


def sparse(root: Path) -> Path:
    with (root / "huge.csv").open("wb") as file:
        file.write(b"path,label\n")
        file.truncate(MAX_LIST_BYTES + 1)
    return root / "huge.csv"


def one_class(table: Table) -> None:
    table[:] = [(path, "aa", split) for path, _, split in table]


def renamed(table: Table) -> None:
    table[:] = [(f"images/{path}", label, split) for path, label, split in table]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "none.csv", r"there is no list .*none.csv"),
        (lambda root: root, r"a list of images is a file .csv, .tsv or .parquet; got "),
        (text("", "list.json"), r"is a file .csv, .tsv or .parquet; got .*list.json"),
        (text(""), "list.csv names no image; a list has the columns path and label"),
        (text("path,label\n\n"), "names no image"),
        (text("path,kind\na.png,x\n"), "no column label; .* its first line has 'path', 'kind'"),
        (text("photo,label\na.png,x\n"), "no column path; .* its first line has 'photo', 'label'"),
        (text("path,path,label\n"), "two columns called path"),
        (text("path,label\na.png,x,y\n"), r"line 2 of .* has 3 values, and the first line 2; .* into quotes"),
        (text('path,label\na.png,"x\n'), "no valid CSV: unexpected end of data"),
        (text("path,label\ncafé.png,x\n".encode("latin-1")), "not in UTF-8; save it as UTF-8"),
        (text(b"PAR1 and no more", "list.parquet"), "no valid Parquet: "),
        (text("path,label,split\na.png,x,val\n"), "no image of train, to learn from"),
        (text("path,label,split\na.png,x,test\n"), "to learn from; to evaluate alone, name the images of test"),
        (edited(lambda table: table.append(("train/aa/000.png", "", "train"))), "no label in 1 line, such as line 42"),
        (edited(lambda table: table.append(("", "aa", "train"))), "no path in 1 line, such as line 42"),
        (edited(lambda table: table.append(("x.png", "aa", ""))), "no split in 1 line, such as line 42; write train"),
        (edited(lambda table: table.append(("x.png", "aa", "hold"))), "split 'hold' in 1 line, .* splits are train"),
        (edited(lambda table: table.append(("x.png", "cc", "val"))), "val has the class 'cc', which train does not"),
        (edited(lambda table: table.append(("train/aa/000.png", "bb", "train"))), "two labels or more to 1 of its "
         "files, such as aa, bb to train/aa/000.png; keep one"),
        (edited(lambda table: table.append(("x.png", "c" * 300, "train"))), "has 300 characters"),
        (edited(lambda table: table.append(("x.png", "c\x1b", "train"))), r"holds U\+001B"),
        (sparse, "has 1073741825 bytes, and a list at most 1073741824"),
        (edited(one_class), "the one class 'aa' in train, and at least two are needed"),
        (edited(renamed), "none of the 40 files .* is there, such as .*images/train/aa/000.png; paths are relative to"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_said(root: Path, make: Callable[[Path], Path], message: str) -> None:
    file = make(root)
    with pytest.raises(DataError, match=message) as caught:
        open_list(file)
    assert "\n" not in str(caught.value)
    try:
        assert inspect_dataset(f"list:{file}").problems
    except DataError as error:
        assert str(error) == str(caught.value)  # noqa: PT017 - either way is right


def test_a_class_without_a_usable_image_is_refused(root: Path) -> None:
    table = [*table_of(root), ("train/none.png", "cc", "train")]
    with pytest.raises(DataError, match=r"images of the class 'cc' in train can be used, .*; none.png: No such"):
        open_list(write(root / "list.csv", table))


def test_parquet_columns_of_other_types_are_refused(root: Path) -> None:
    columns = {"path": ["a.png"], "label": [0.5]}
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "list.parquet")
    with pytest.raises(DataError, match=r"row 1 of .* has a value of the type float; .* are texts or whole numbers"):
        open_list(root / "list.parquet")


def test_a_class_in_two_forms_of_unicode_is_one(root: Path) -> None:
    paint(root / "train/x", 4, seed=5)
    table = table_of(root)
    table = [row for row in table if row[1] != "x"]
    table += [(f"train/x/{index:03}.png", "\u00e9" if index % 2 else "e\u0301", "train") for index in range(4)]
    assert counts(open_list(write(root / "list.csv", table)))[0] == [12, 12, 4]
