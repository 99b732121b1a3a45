"""docs/results/claims.md holds what the records and the pages say: no figure of ours stands there alone."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.errors import DataError

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
TRAINERS = ROOT / "benchmarks" / "trainers"
NUMBER = re.compile(r"(?<![\w.-])\d+\.\d+(?![\w.]*\d)")
OUTCOMES = ("met", "missed", "not run", "above AIT: met")
SETTINGS = {"start": "r20"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the script that makes the tables, and of the claims."""
    monkeypatch.syspath_prepend(str(TRAINERS.parent))
    monkeypatch.syspath_prepend(str(TRAINERS))
    return {
        **runpy.run_path(str(TRAINERS / "claims.py")),
        **runpy.run_path(str(TRAINERS / "run_records.py")),
        **runpy.run_path(str(TRAINERS / "result_tables.py")),
    }


def claims(script: dict[str, Any]) -> list[Any]:
    return [claim for table in (*script["FINETUNED_CLAIMS"], *script["TRAINING_CLAIMS"]) for claim in table.claims]


def records(script: dict[str, Any]) -> list[Any]:
    return [script["load_record"](path) for path in sorted((RESULTS / "records").rglob("*.json"))]


def test_each_figure_of_ours_is_on_the_page_of_its_method(script: dict[str, Any]) -> None:
    found = records(script)
    assert len(claims(script)) >= 30
    for claim in claims(script):
        ours = claim.with_figures(claim.ours, found)
        assert bool(ours) == bool(claim.page), claim.text
        assert bool(ours) == (claim.outcome != "not run"), claim.text
        if ours:
            page = (RESULTS / claim.page.partition("#")[0]).read_text("utf-8")
            numbers = NUMBER.findall(ours)
            assert numbers, claim.text
            assert [each for each in numbers if each not in page] == [], claim.text


def test_each_claim_has_an_outcome_and_its_records_exist(script: dict[str, Any]) -> None:
    for claim in claims(script):
        assert claim.outcome.startswith(OUTCOMES), claim.text
        assert bool(claim.records) == ("{" in claim.ours), claim.text
        assert all((RESULTS / "records" / name).is_file() for name in claim.records), claim.text


def test_a_figure_without_a_record_is_an_error(script: dict[str, Any]) -> None:
    claim = script["Claim"]("text", "1", "{study/row/gain} points", "met", settings=SETTINGS)
    record = script["RunRecord"]("study", "row", 0, SETTINGS, {"gain": 8.754}, "command", "abc", "here", "2")
    assert claim.with_figures(claim.ours, [record]) == "8.75 points"
    other = script["RunRecord"]("study", "row", 0, {"start": "r32"}, {"gain": 1.0}, "command", "abc", "here", "2")
    with pytest.raises(DataError, match="no record has gain of row in study"):
        claim.with_figures(claim.ours, [other])


def test_each_committed_classifier_is_listed_with_a_record_of_its_errors(script: dict[str, Any]) -> None:
    names = runpy.run_path(str(TRAINERS / "model_tables.py"))
    files = {path.stem for path in names["CHECKPOINTS"].glob("resnet20*.safetensors")}
    assert set(names["MODELS"]) == files, "docs/results/models.md lists every committed classifier"
    measured = {each.row: each.results for each in records(script) if each.study == names["STUDY"]}
    assert set(measured) == files
    assert all(set(errors) == {"clean", "common", "extra"} for errors in measured.values())
    with pytest.raises(DataError, match="there is no record of resnet20-45000; run benchmarks"):
        names["CheckpointTable"]().lines([])
