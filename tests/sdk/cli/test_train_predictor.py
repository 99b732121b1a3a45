"""The predictor command: from a checkpoint to one that knows where to look."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.load import load
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import save_predictor
from allweather.trainers.models.registry import weights_digest


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


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
    whole = load_checkpoint(out)
    assert whole.predictor is not None
    assert whole.predictor.views == tuple(VIEWS)
    assert weights_digest(whole.classifier()) == whole.predictor.classifier_digest
    alone, again = tmp_path / "alone.safetensors", tmp_path / "again.safetensors"
    save_predictor(alone, whole.predictor)
    put = run("predictor", plain, "--use", alone, "--out", again, "--json")
    assert put.exit_code == 0, put.stderr
    assert again.read_bytes() == out.read_bytes()
    put = run("predictor", plain, "--use", out, "--out", tmp_path / "once more.safetensors")
    assert put.exit_code == 0, put.stderr
    assert (tmp_path / "once more.safetensors").read_bytes() == out.read_bytes()


def test_what_cannot_be_is_said_in_a_line(plain: Path, folder: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out.safetensors", f"folder:{folder}"
    start = load_checkpoint(plain)
    other = {**start.weights, "linear.bias": start.weights["linear.bias"] + 1}
    save_checkpoint(tmp_path / "other.safetensors", dataclasses.replace(start, weights=other))
    kept = tmp_path / "losses"
    few = ["--data", data, "--epochs", 1, "--copies", 1, "--targets", kept, "--out", tmp_path / "first.safetensors"]
    assert run("predictor", plain, *few).exit_code == 0
    alone, first = tmp_path / "alone.safetensors", load_checkpoint(tmp_path / "first.safetensors").predictor
    assert first is not None
    save_predictor(alone, first)
    torch.save({}, tmp_path / "old.pt")  # a .zip inside
    for line, message in (
        ([plain], "name --data to train a predictor on, or --use FILE"),
        ([plain, "--data", data, "--use", plain], "--use FILE to put in one that is trained; one of both"),
        ([alone, "--data", data], "holds a loss predictor alone; 'allweather predictor CHECKPOINT --use' puts it in"),
        ([plain, "--use", plain], "holds no loss predictor"),
        (
            [plain, "--use", alone, "--epochs", 3, "--peak-rate", 1],
            "as it was trained; leave out --epochs, --peak-rate",
        ),
        ([folder, "--use", alone], "but a folder, as bundles are"),
        ([tmp_path / "old.pt", "--use", alone], "old.pt is damaged"),
        (["/dev/null", "--use", alone], "no checkpoint at /dev/null"),
        ([plain, "--data", data, "--copies", 0], "copies of a picture are 1 to 100; got 0"),
        ([tmp_path / "other.safetensors", "--data", data, "--targets", kept], "view losses of another classifier"),
    ):
        done = run("predictor", *line, "--out", out)
        assert done.exit_code in (1, 2), line
        assert message in " ".join(done.stderr.split()), line
        assert "Traceback" not in done.stderr
    assert not out.exists()


def test_policies_are_measured_side_by_side(plain: Path, folder: Path, tmp_path: Path) -> None:
    data, seeing = f"folder:{folder}", tmp_path / "seeing.safetensors"
    done = run("predictor", plain, "--data", data, "--epochs", 1, "--batch", 20, "--copies", 1, "--out", seeing)
    assert done.exit_code == 0, done.stderr
    bad = tmp_path / "bad"
    kinds = ["--corruption", "gaussian_noise", "--corruption", "speckle_noise"]
    assert run("corrupt", "--data", data, "--size", 32, *kinds, "--out", bad).exit_code == 0
    asked = [part for text in ("hflip", "top:1", "top:2+flip", "random:2") for part in ("--policy", text)]
    report = tmp_path / "report"
    line = ["evaluate", seeing, "--data", data, "--corrupted", bad, *asked, "--out", report]
    done = run(*line, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [score["policy"] for score in found["scores"]] == [
        "center", "oracle:1", "hflip", "top:1", "top:2+flip", "random:2"
    ]  # fmt: skip
    center, oracle, _, top, _, _ = found["scores"]
    assert center["cost"] == center["corrupted_cost"] == 1
    assert center["runs"]["clean"] == 1
    assert oracle["cost"] is None
    assert oracle["common"]["value"] <= min(center["common"]["value"], top["common"]["value"])
    assert oracle["captured"] in (1, None)
    assert list(center["errors"]) == ["gaussian_noise", "speckle_noise"]
    assert all(sum(shares) == pytest.approx(1) for shares in top["looks"].values())
    assert -1 <= found["correlation"]["common"] <= 1
    assert "rank correlation of predicted and true losses" in done.stderr
    names = {path.name for path in report.iterdir()}
    assert {"report.html", "report.md", "result.json", "looks-top-1.png", "looks-top-2-flip.png"} <= names
    assert not list(tmp_path.glob(".*"))


def test_policies_that_cannot_be_measured(plain: Path, folder: Path) -> None:
    for line, message in (
        ([plain, "--policy", "top:1"], "needs a loss predictor"),
        ([plain, "--policy", "gps:2"], "is found by tuning"),
        ([plain, "--policy", "top:99"], "number of views is 1 to 12; got 99"),
        ([plain, plain, "--policy", "hflip"], "--policy compares policies of one target"),
        ([plain, "--policy", "hflip", "--augmented"], "--policy compares policies of one target"),
    ):
        done = run("evaluate", *line, "--data", f"folder:{folder}")
        assert done.exit_code in (1, 2), line
        assert message in " ".join(done.stderr.split()), line


def test_a_tuned_policy_travels_to_the_bundle(plain: Path, folder: Path, tmp_path: Path) -> None:
    data, tuned, bundle = f"folder:{folder}", tmp_path / "tuned.safetensors", tmp_path / "tuned.aw"
    done = run("tune", plain, "--data", data, "--policy", "gps:3", "--out", tuned, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["views"]) == 3
    both = tmp_path / "both.safetensors"
    assert run("tune", tuned, "--data", data, "--policy", "hflip", "--out", both).exit_code == 0
    assert [policy.name for policy in load_checkpoint(both).policies] == ["hflip", "gps:3"]
    early = tmp_path / "early.safetensors"
    assert run("tune", both, "--data", data, "--policy", "gps:3@0.9", "--out", early).exit_code == 0
    first, *_ = load_checkpoint(early).policies
    assert (first.name, first.early_exit_threshold, list(first.views)) == ("gps:3@0.9", 0.9, found["views"])
    line = ["--data", data, "--engine", "onnx", "--precision", "fp32", "--out", bundle]
    assert run("export", both, *line).exit_code == 0
    with load(bundle) as eyes:
        assert eyes.policy.name == "hflip"
    with load(bundle, policy="gps:3") as eyes:
        assert list(eyes.policy.views) == found["views"]
    once = run("evaluate", bundle, "--data", data)
    assert "tuned to look hflip: --policy hflip measures that" in " ".join(once.stderr.split())
    measured = run("evaluate", bundle, "--data", data, "--policy", "gps:3", "--json")
    assert measured.exit_code == 0, measured.stderr
    same = run("evaluate", both, "--data", data, "--policy", "gps:3", "--json")
    shown = [json.loads(each.stdout)["scores"] for each in (measured, same)]
    assert [score["clean"] for score in shown[0]] == [score["clean"] for score in shown[1]]


def test_policies_are_compared_and_the_best_is_stored(plain: Path, folder: Path, tmp_path: Path) -> None:
    data, tuned = f"folder:{folder}", tmp_path / "tuned.safetensors"
    done = run("tune", plain, "--data", data, "--runs", 2, "--out", tuned, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["policy"]: row for row in found["compared"]}
    assert set(rows) == {
        "center", "hflip", "hflip@0.95", "5crop", "10crop", "all", "gps:1", "gps:2", "gps:3", "gps:4", "learned"
    }  # fmt: skip
    assert 1 <= rows["hflip@0.95"]["runs"] <= 2
    assert rows[found["policy"]]["runs"] <= 2
    cheap = [row["calibrated_likelihood"] for row in rows.values() if row["runs"] <= 2]
    assert found["calibrated_likelihood"] == max(cheap)
    assert rows["center"]["val_accuracy"] == found["val_accuracy_of_one_look"]
    kept = [policy.name for policy in load_checkpoint(tuned).policies]
    assert kept[0] == found["policy"]
    assert {"gps:1", "gps:2", "gps:3", "gps:4", "learned"} <= set(kept)
    shown = run("tune", plain, "--data", data, "--policy", "hflip", "--policy", "gps:1", "--out", tuned)
    assert "calibrated log-likelihood" in shown.stdout


def test_policies_that_cannot_be_tuned(plain: Path, folder: Path, tmp_path: Path) -> None:
    for policy, message in (
        ("gps:99", "K from 1 to 18"),
        ("top:1", "needs a loss predictor"),
        ("oracle:1", "for evaluate alone"),
        ("best", "no policy is called 'best'"),
    ):
        line = ["--data", f"folder:{folder}", "--policy", policy, "--out", tmp_path / "x.safetensors"]
        done = run("tune", plain, *line)
        assert done.exit_code == 2, policy
        assert message in " ".join(done.stderr.split()), policy
    for policy, message in (
        ("hflip", "hflip is stored as it is; leave out --runs"),
        ("gps:2", "is the only one; leave"),
    ):
        line = ["--data", f"folder:{folder}", "--policy", policy, "--runs", 2, "--out", tmp_path / "x.safetensors"]
        done = run("tune", plain, *line)
        assert done.exit_code == 2, policy
        assert message in " ".join(done.stderr.split()), policy
    done = run("tune", plain, "--data", f"folder:{folder}", "--runs", 0, "--out", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert "--runs is 1 picture a frame or more; got 0" in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())
