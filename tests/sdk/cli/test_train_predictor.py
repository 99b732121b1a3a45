"""allweather train-predictor: adds a loss predictor to a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from commands import invoke, json_of, one_line

from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import save_predictor
from allweather.trainers.models.classifier import weights_digest


@pytest.mark.slow
def test_a_predictor_is_trained_kept_and_added_to_another_checkpoint(plain: Path, folder: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "tta.safetensors", tmp_path / "losses"
    line = ["train-predictor", plain, "--data", f"folder:{folder}", "--epochs", 2, "--batch-size", 20]
    done = invoke(*line, "--view-losses", kept, "--out", out, "--log", f"csv:{tmp_path / 'logs'}", "--json")
    assert 0 < json_of(done)["val_accuracy"] <= 1
    assert "accuracy at k = 1" in done.stderr
    assert "epoch 2/2" in done.stderr
    assert list(kept.glob("*.safetensors"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "losses", "tta.safetensors"]
    header, *rows = (tmp_path / "logs" / "tta" / "version_0" / "metrics.csv").read_text().splitlines()
    assert "rank_correlation" in header
    assert len(rows) == 2
    checkpoint = load_checkpoint(out)
    assert checkpoint.predictor is not None
    assert checkpoint.predictor.views == tuple(VIEWS)
    assert weights_digest(checkpoint.classifier()) == checkpoint.predictor.classifier_digest
    alone, again = tmp_path / "alone.safetensors", tmp_path / "again.safetensors"
    save_predictor(alone, checkpoint.predictor)
    json_of(invoke("train-predictor", plain, "--use", alone, "--out", again, "--json"))
    assert again.read_bytes() == out.read_bytes()
    done = invoke("train-predictor", plain, "--use", out, "--out", tmp_path / "once more.safetensors")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "once more.safetensors").read_bytes() == out.read_bytes()


@pytest.mark.slow
def test_bad_input(plain: Path, folder: Path, tmp_path: Path) -> None:
    out, data, kept = tmp_path / "out.safetensors", f"folder:{folder}", tmp_path / "losses"
    start = load_checkpoint(plain)
    other = {**start.weights, "linear.bias": start.weights["linear.bias"] + 1}
    save_checkpoint(tmp_path / "other.safetensors", dataclasses.replace(start, weights=other))
    few = ["--data", data, "--epochs", 1, "--copies", 1, "--view-losses", kept]
    done = invoke("train-predictor", plain, *few, "--out", tmp_path / "first.safetensors")
    assert done.exit_code == 0, done.stderr
    alone, first = tmp_path / "alone.safetensors", load_checkpoint(tmp_path / "first.safetensors").predictor
    assert first is not None
    save_predictor(alone, first)
    torch.save({}, tmp_path / "old.pt")  # a .zip inside
    for line, words in (
        ([plain], "either --data ... or --use FILE"),
        ([plain, "--data", data, "--use", plain], "either --data ... or --use FILE"),
        ([alone, "--data", data], "only a loss predictor ... 'allweather train-predictor CHECKPOINT --use'"),
        ([plain, "--use", plain], "holds no loss predictor"),
        ([plain, "--use", alone, "--epochs", 3, "--lr", 1], "as it was trained; leave out --epochs, --lr"),
        ([folder, "--use", alone], "a folder without a manifest.json"),
        ([tmp_path / "old.pt", "--use", alone], "no checkpoint or bundle ... of it first: allweather import"),
        (["/dev/null", "--use", alone], "no checkpoint at /dev/null"),
        ([plain, "--data", data, "--copies", 0], "copies ... 1 to 100; got 0"),
        ([plain, "--data", data, "--exclude-family", "snow"], "snow ... weather"),
        ([tmp_path / "other.safetensors", "--data", data, "--view-losses", kept], "another classifier"),
    ):
        done = invoke("train-predictor", *line, "--out", out)
        assert done.exit_code in (1, 2), line
        for part in words.split(" ... "):
            assert part in one_line(done), line
        assert "Traceback" not in done.stderr
    assert not out.exists()
