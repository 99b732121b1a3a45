"""The predictor command: from a checkpoint to one that knows where to look."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.views import VIEWS
from allweather.trainers import checkpoint as checkpoints
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.models import weights_digest
from allweather.trainers.predictor_file import save_predictor


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def plain(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    checkpoints.save(path, checkpoint)
    return path


def test_a_predictor_is_trained_kept_and_put_in(plain: Path, folder: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "seeing.safetensors", tmp_path / "losses"
    line = ["predictor", plain, "--data", f"folder:{folder}", "--epochs", 2, "--batch", 20, "--targets", kept]
    done = run(*line, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert 0 < facts["val_accuracy"] <= 1
    assert "accuracy at k = 1" in done.stderr
    assert "epoch 2/2" in done.stderr
    assert list(kept.glob("*.safetensors"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses", "seeing.safetensors"]
    whole = checkpoints.load(out)
    assert whole.predictor is not None
    assert whole.predictor.views == tuple(VIEWS)
    assert weights_digest(whole.classifier()) == whole.predictor.classifier
    alone, again = tmp_path / "alone.safetensors", tmp_path / "again.safetensors"
    save_predictor(alone, whole.predictor)
    put = run("predictor", plain, "--use", alone, "--out", again, "--json")
    assert put.exit_code == 0, put.stderr
    assert again.read_bytes() == out.read_bytes()


def test_what_cannot_be_is_said_in_a_line(plain: Path, folder: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out.safetensors", f"folder:{folder}"
    start = checkpoints.load(plain)
    other = {**start.weights, "linear.bias": start.weights["linear.bias"] + 1}
    checkpoints.save(tmp_path / "other.safetensors", dataclasses.replace(start, weights=other))
    kept = tmp_path / "losses"
    few = ["--data", data, "--epochs", 1, "--copies", 1, "--targets", kept, "--out", tmp_path / "first.safetensors"]
    assert run("predictor", plain, *few).exit_code == 0
    for line, message in (
        ([plain], "name --data to train a predictor on, or --use FILE"),
        ([plain, "--data", data, "--use", plain], "name --data to train a predictor on, or --use FILE"),
        ([plain, "--use", plain], "holds no loss predictor"),
        ([plain, "--data", data, "--copies", 0], "copies of a picture are 1 to 100; got 0"),
        ([tmp_path / "other.safetensors", "--data", data, "--targets", kept], "view losses of another classifier"),
        ([plain, "--data", "signs"], "classes"),
    ):
        done = run("predictor", *line, "--out", out)
        assert done.exit_code in (1, 2), line
        assert message in " ".join(done.stderr.split()), line
        assert "Traceback" not in done.stderr
    assert not out.exists()
