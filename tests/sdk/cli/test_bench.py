from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from commands import invoke, json_of, one_line

from allweather.runtimes.bundle.manifest import Manifest

SIGNS = Path(__file__).parents[3] / "samples" / "bundles" / "signs-plain"
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


@pytest.mark.parametrize("line", [["bench", SIGNS, "--frames", 5], ["demo", "--quick"]])
def test_without_the_library_of_the_plots_nothing_is_measured_in_vain(
    line: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a report that cannot be made was measured for")

    monkeypatch.setattr("allweather.benchmark.run_benchmark", measured)
    monkeypatch.setattr("allweather.demo.demo.run_drive", measured)
    drawing = ("allweather.reports", "allweather.demo.report", "allweather.demo.timeline")  # imported by other tests
    for name in [each for each in sys.modules if each.startswith(drawing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = invoke(*line, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "this needs matplotlib" in one_line(result)


def test_one_view_without_the_loss_predictor_is_measured_too() -> None:
    line = ["bench", SIGNS.with_name("signs-robust"), "--frames", 3, "--max-views", 2, "--engine", "openvino"]
    runs = json_of(invoke(*line, "--precision", "fp32", "--json"))["runs"]
    assert [(run["policy"], run["num_views"]) for run in runs] == [("center", 1), ("top:2", 2)]
    assert [run["report"]["views_per_frame"] for run in runs] == [[[1, 3]], [[2, 3]]]
