from __future__ import annotations

from pathlib import Path

from commands import invoke, json_of

from allweather.trainers.checkpoint.checkpoint import load_checkpoint


def test_import(published: Path, tmp_path: Path) -> None:
    weights, out = published / "cifar10_resnet20.safetensors", tmp_path / "r.safetensors"
    line = ["import", weights, "--arch", "resnet20", "--classes", "cifar10"]
    assert json_of(invoke(*line, "--out", out, "--json"))["classes"] == 10
    assert load_checkpoint(out).classes[9] == "truck"
    line = ["import", weights, "--out", tmp_path / "x.safetensors"]
    other = invoke(*line, "--arch", "resnet56", "--classes", "cifar10")
    assert other.exit_code == 1
    assert "--arch" in other.stderr
    few = invoke(*line, "--arch", "resnet20", "--classes", "a,b")
    assert few.exit_code == 1
    assert "linear.weight has the shape [10, 64]" in few.stderr
    assert not (tmp_path / "x.safetensors").exists()
