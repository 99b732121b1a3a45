"""The tables of the result pages are made of records: what is on a page is what was measured."""

from __future__ import annotations

import dataclasses
import importlib
import runpy
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.errors import DataError

TRAINERS = Path(__file__).resolve().parents[1] / "benchmarks" / "trainers"
COLUMNS = {"original": "original", "gray": "grayscale"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the script that makes the tables."""
    monkeypatch.syspath_prepend(str(TRAINERS.parent))
    monkeypatch.syspath_prepend(str(TRAINERS))
    names = runpy.run_path(str(TRAINERS / "result_tables.py"))
    shared = {"RunRecord": "run_records", "ResultTable": "result_table"}
    return {**names, **{name: getattr(importlib.import_module(module), name) for name, module in shared.items()}}


def methods(script: dict[str, Any], **changes: Any) -> Any:
    """A table of two methods."""
    rows, settings, facts = ("plain", "ait"), {"arch": "resnet20"}, ("epochs", "seed")
    table = script["ResultTable"]("methods", "invariance", "accuracy, %", COLUMNS, rows, settings, facts, {})
    return dataclasses.replace(table, **changes)


def write_page(folder: Path, table: str) -> Path:
    page = folder / "page.md"
    page.write_text(f"before\n\n<!-- table {table} -->\nold\n<!-- end of {table} -->\n\nafter\n")
    return page


def records(script: dict[str, Any], row: str, accuracies: dict[int, float]) -> list[Any]:
    settings = {"arch": "resnet20", "epochs": 40}
    return [
        script["RunRecord"](
            "invariance", row, seed, settings, dict.fromkeys(COLUMNS.values(), accuracy), "command", "abc", "here", "2"
        )
        for seed, accuracy in accuracies.items()
    ]


def test_the_pages_show_what_their_records_hold(script: dict[str, Any]) -> None:
    for page, text in script["updated_pages"](script["PAGES"]).items():
        assert page.read_text() == text, "run python benchmarks/trainers/result_tables.py"


def test_a_row_has_the_mean_and_the_deviation_of_its_seeds(script: dict[str, Any]) -> None:
    runs = [*records(script, "ait", {1: 80.0, 0: 70.0}), *records(script, "plain", {0: 65.0})]
    of_another = dataclasses.replace(runs[0], settings={"arch": "resnet32", "epochs": 40})
    assert methods(script).lines([of_another, *runs]) == [
        "| accuracy, % | epochs | seed | original | gray |",
        "|---|---:|---:|---:|---:|",
        "| plain | 40 | 0 | 65.00 | 65.00 |",
        "| ait | 40 | 0, 1 | 75.00 (7.07) | 75.00 (7.07) |",
        "",
        "Commit abc; torch 2; here.",
    ]


def test_what_the_paper_reports_stands_beside(script: dict[str, Any]) -> None:
    table = methods(script, paper={"ait": "93.14"})
    lines = table.lines([*records(script, "plain", {0: 65.0}), *records(script, "ait", {0: 70.0})])
    assert [line.split("|")[-2].strip() for line in (lines[0], *lines[2:4])] == ["paper", "", "93.14"]


def test_only_what_is_between_the_comments_changes(script: dict[str, Any], tmp_path: Path) -> None:
    page = write_page(tmp_path, "methods")
    (tmp_path / "records").mkdir()
    (record,) = records(script, "plain", {0: 65.0})
    runpy.run_path(str(TRAINERS / "run_records.py"))["save_record"](tmp_path / "records" / "plain.json", record)
    script["updated_pages"].__globals__["TABLES"] = (methods(script),)
    text = script["updated_pages"](tmp_path)[page]
    assert text.startswith("before\n\n<!-- table methods -->\n| accuracy")
    assert text.endswith("\nCommit abc; torch 2; here.\n<!-- end of methods -->\n\nafter\n")
    assert "old" not in text
    page.write_text(text)
    assert script["updated_pages"](tmp_path)[page] == text


def test_tables_without_records_or_pages_are_told(script: dict[str, Any], tmp_path: Path) -> None:
    script["updated_pages"].__globals__["TABLES"] = (methods(script),)
    write_page(tmp_path, "unknown")
    with pytest.raises(DataError, match=r"page\.md has a table 'unknown'; there are methods"):
        script["updated_pages"](tmp_path)
    page = write_page(tmp_path, "methods")
    with pytest.raises(DataError, match="there is no record of the study invariance for the table methods"):
        script["updated_pages"](tmp_path)
    page.write_text("no table")
    with pytest.raises(DataError, match=r"no page of .* has the table methods"):
        script["updated_pages"](tmp_path)
