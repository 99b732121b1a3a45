"""The benchmarks still fit the code that they measure. How fast it is, is not asked."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
TRAINERS = FOLDER / "trainers"
RIVAL = FOLDER / "by_hand" / "by_hand.py"  # imports other libraries alone, of which the project does not install all
OURS = sorted(path for path in FOLDER.rglob("*.py") if path != RIVAL)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_everything_that_a_benchmark_imports_is_there(path: Path) -> None:
    folders = [str(path.parent), str(FOLDER)]  # its own, and that of the parts of on_a_gpu.py
    sys.path[:0] = folders
    try:
        runpy.run_path(str(path))
    finally:  # what libraries have added stays: onnxruntime adds a folder once, and imports from it later
        for folder in folders:
            sys.path.remove(folder)


def test_both_loops_of_the_training_benchmark_take_steps() -> None:
    benchmark = runpy.run_path(str(TRAINERS / "step_speed.py"))
    benchmark["random_data"].__globals__.update(STEPS=2, BATCH_SIZE=4)
    data = benchmark["random_data"]()
    assert benchmark["ours"](data) > 0
    assert benchmark["bare"](data) > 0


def test_a_study_keeps_to_its_settings(tmp_path: Path) -> None:
    studies = runpy.run_path(str(TRAINERS / "studies.py"))
    for _ in range(2):
        studies["open_study_folder"](tmp_path / "runs", data="signs", epochs=1)
    with (
        pytest.raises(SystemExit, match=r'^error: .*runs with .*"epochs": 1.* this run has .*"epochs": 2'),
        studies["errors_in_one_line"](),
    ):
        studies["open_study_folder"](tmp_path / "runs", data="signs", epochs=2)


def test_seeds_of_existing_runs_are_included() -> None:
    seeds = runpy.run_path(str(TRAINERS / "studies.py"))["seeds"]
    assert list(seeds(1, lambda seed: seed in (0, 1, 3))) == [0, 1]
    assert list(seeds(0, lambda seed: seed == 1)) == []


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ("invariance.py", ["weight", "signs"], r"no row is called 'lambda 9'; did you mean lambda \d"),
        ("learned_augmentation.py", ["signs"], "no row is called 'lambda 9'.* pretrained"),
    ],
)
def test_a_row_that_a_study_does_not_have(
    script: str, line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TRAINERS))
    monkeypatch.setattr("sys.argv", [script, *line, str(tmp_path), "--only", "lambda 9"])
    with pytest.raises(SystemExit, match=f"^error: {words}"):
        runpy.run_path(str(TRAINERS / script), run_name="__main__")
    assert not list(tmp_path.iterdir())
