from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of, one_line

from allweather.runtimes.bundle.manifest import Manifest

STAGES = {"capture", "prepare", "rank", "plan", "views", "infer", "aggregate", "detect", "sink"}


@pytest.mark.slow
def test_a_source_that_is_too_short_is_told(exported: tuple[Path, Manifest], folder: Path) -> None:
    source = folder / "test" / "red"
    line = ["bench", exported[0], "--max-views", 1, "--engine", "onnx", "--source", source]
    frames = len(list(source.iterdir()))
    assert json_of(invoke(*line, "--json"))["frames"] == frames
    assert f"ended after {frames} of 200 frames" in one_line(invoke(*line))


@pytest.mark.slow
def test_a_page_a_plot_and_all_figures_are_written(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    line = ["bench", exported[0], "--frames", 5, "--max-views", "1,3", "--engine", "onnx"]
    benchmark = json_of(invoke(*line, "--out", tmp_path / "out", "--json"))
    assert {(run["engine"], run["num_views"]) for run in benchmark["runs"]} == {("onnx", 1), ("onnx", 3)}
    for run in benchmark["runs"]:
        assert run["report"]["decided"] == 5
        assert set(run["report"]["stages"]) == STAGES
        assert run["report"]["views_per_frame"] == [[run["num_views"], 5]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html", "report.md", "result.json", "stages.png",
    }  # fmt: skip
    table = invoke(*line)
    assert table.exit_code == 0
    assert max(len(line) for line in table.stdout.splitlines()) <= 90  # more digits where the machine is busy
    assert "onnx fp32 k=3" in table.stdout
