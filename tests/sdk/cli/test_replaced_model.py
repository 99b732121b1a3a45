"""A model that is replaced while a command works on it: what is written or printed is of one model."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import invoke, one_line

from allweather.benchmark import run_benchmark
from allweather.runtimes.bundle.bundle import Bundle, ReplacedError
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.policies.comparison import compare_policies

BUNDLES = Path(__file__).parents[3] / "samples" / "bundles"


@pytest.mark.slow
def test_a_policy_is_stored_with_the_checkpoint_that_it_was_tuned_for(
    plain: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = tmp_path / "model.safetensors", tmp_path / "tuned.safetensors"
    shutil.copy(plain, model)
    before = load_checkpoint(plain)

    def replaced(*args: Any, **options: Any) -> Any:
        found = compare_policies(*args, **options)
        weights = {name: value * 0 for name, value in before.weights.items()}
        save_checkpoint(model, dataclasses.replace(before, weights=weights))
        return found

    monkeypatch.setattr("allweather.trainers.policies.comparison.compare_policies", replaced)
    line = ["tune-policy", model, "--data", f"folder:{folder}", "--policy", "hflip", "--policy", "gps:2", "--out", out]
    result = invoke(*line)
    assert result.exit_code == 0, one_line(result)
    stored = load_checkpoint(out).weights
    assert all(stored[name].equal(value) for name, value in before.weights.items())


def test_the_rows_of_bench_are_of_one_bundle(tmp_path: Path) -> None:
    path, other = tmp_path / "a.aw", tmp_path / "b.aw"
    for name, to in (("signs-plain", path), ("signs-robust", other)):
        shutil.copytree(BUNDLES / name, to)
    opened = Bundle.open(path)

    def watch(done: int, total: int, name: str) -> None:
        if done == 1:
            path.rename(tmp_path / "old.aw")
            other.rename(path)

    with pytest.raises(ReplacedError, match="all rows are of one bundle; start again"):
        run_benchmark(path, frames=2, num_views=[1, 2], engine="openvino", precision="fp32", watch=watch)
    assert Bundle.open(path).manifest != opened.manifest
