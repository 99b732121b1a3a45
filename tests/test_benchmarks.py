"""The benchmarks still fit the code that they measure. How fast it is, is not asked."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_everything_that_a_benchmark_imports_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    runpy.run_path(str(FOLDER / name))


def test_both_loops_of_the_training_benchmark_take_steps() -> None:
    benchmark = runpy.run_path(str(FOLDER / "training.py"))
    benchmark["random_data"].__globals__.update(STEPS=2, BATCH=4)
    data = benchmark["random_data"]()
    assert benchmark["ours"](data) > 0
    assert benchmark["bare"](data) > 0
