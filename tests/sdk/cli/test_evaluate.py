"""allweather evaluate: on clean, corrupted and shifted images, of policies, and several of these in one call."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, json_of, one_line

from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def corrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corrupted set on disk, of two corruptions."""
    out = tmp_path_factory.mktemp("corrupted") / "set"
    options = ["--corruption", "fog", "--corruption", "jpeg_compression", "--size", 32, "--seed", 3, "--processes", 1]
    assert json_of(invoke("corrupt", "--data", f"folder:{folder}", *options, "--out", out, "--json"))
    return out


@pytest.mark.slow
def test_models_are_compared_on_corrupted_images(
    plain: Path, exported: tuple[Path, Manifest], folder: Path, corrupted: Path, tmp_path: Path
) -> None:
    line = ["evaluate", plain, exported[0], "--data", f"folder:{folder}", "--engine", "onnx", "--precision", "fp32"]
    report = tmp_path / "report"
    stored = invoke(*line, "--corrupted", corrupted, "--out", report, "--json")
    one, two = json_of(stored)["results"]
    assert [each["provenance"]["backend"] for each in (one, two)] == ["torch fp32", "onnx fp32"]
    assert [cell["error"] for cell in one["cells"]] == [cell["error"] for cell in two["cells"]]
    assert "baseline" in stored.stderr
    names = {path.name for path in report.iterdir()}
    assert {"report.html", "report.md", "result.json", "errors.png", "reliability-1.png", "reliability-2.png"} <= names
    for path in report.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
        assert path.name in (report / "report.html").read_text()
    assert "| fog | " in (report / "report.md").read_text()
    assert not list(tmp_path.glob(".report*"))
    table = invoke(*line, "--corrupted", corrupted)
    assert "common 15" in table.stdout
    assert "mCE" not in table.stdout  # no baseline was named to compare with


@pytest.mark.slow
def test_one_view_of_a_model_that_follows_more_is_told(
    plain: Path, folder: Path, corrupted: Path, tmp_path: Path
) -> None:
    data, tuned = ["--data", f"folder:{folder}"], tmp_path / "tuned.safetensors"
    save_checkpoint(tuned, dataclasses.replace(load_checkpoint(plain), policies=(parse_policy("hflip"),)))
    told = "tuned.safetensors was evaluated with one view of each image, and is tuned for the policy hflip"
    line = ["evaluate", tuned, *data, "--corrupted", corrupted]
    assert told in one_line(invoke(*line))
    assert told not in one_line(invoke(*line, "--policy", "hflip"))


@pytest.mark.slow
def test_generated_and_stored_sets_are_the_same(plain: Path, folder: Path, corrupted: Path, tmp_path: Path) -> None:
    line = ["evaluate", plain, "--data", f"folder:{folder}", "--seed", 3, "--out", tmp_path / "r", "--json"]
    generated = invoke(*line, "--corrupted", "generate")
    stored = invoke(*line, "--corrupted", corrupted)
    (one,), (two,) = (json_of(each)["results"] for each in (generated, stored))
    assert len(one["cells"]) == 95
    assert [cell for cell in one["cells"] if cell["corruption"] in ("fog", "jpeg_compression")] == two["cells"]
    again = invoke(*line[:-3], "--corrupted", "generate", "--baseline", tmp_path / "r" / "result.json", "--json")
    assert again.exit_code == 2
    assert "the baseline has no error for gaussian_noise" in again.stderr


@pytest.mark.slow
def test_clean_images_of_several_models(
    plain: Path, exported: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    line = ["evaluate", plain, exported[0], "--data", f"folder:{folder}"]
    alone = json_of(invoke("evaluate", plain, "--data", f"folder:{folder}", "--json"))
    first, second = json_of(invoke(*line, "--out", tmp_path / "report", "--json"))["results"]
    assert first["confusion"] == alone["confusion"]
    assert second["provenance"]["model"] == str(exported[0])
    folders = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert folders == [f"1-{plain.name}", f"2-{exported[0].name}"]
    assert all((tmp_path / "report" / name / "report.html").is_file() for name in folders)
    table = invoke(*line).stdout
    assert plain.name in table
    assert "accuracy, %" in table


@pytest.mark.slow
def test_shift_robustness_of_a_checkpoint_and_its_bundle(
    plain: Path, exported: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    line = ["evaluate", plain, exported[0], "--data", f"folder:{folder}", "--shifted"]
    results = json_of(invoke(*line, "--out", tmp_path / "report", "--json"))["results"]
    assert [bool(each["distances"]) for each in results] == [True, False]
    assert {"report.html", "result.json"} < {path.name for path in (tmp_path / "report").iterdir()}
    assert len(list((tmp_path / "report").glob("*.png"))) == 2
    assert "grayscale" in invoke(*line).stdout


@pytest.fixture(scope="module")
def with_predictor(plain: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier with a loss predictor that the command line has trained."""
    out = tmp_path_factory.mktemp("predictor") / "tta.safetensors"
    line = ["train-predictor", plain, "--data", f"folder:{folder}", "--epochs", 1, "--batch-size", 20, "--copies", 1]
    done = invoke(*line, "--out", out)
    assert done.exit_code == 0, done.stderr
    return out


@pytest.mark.slow
def test_policies_are_evaluated_side_by_side_after_the_corrupted_images(
    with_predictor: Path, folder: Path, tmp_path: Path
) -> None:
    data, corrupted, report = f"folder:{folder}", tmp_path / "corrupted", tmp_path / "report"
    kinds = ["--corruption", "gaussian_noise", "--corruption", "speckle_noise", "--processes", 1]
    assert invoke("corrupt", "--data", data, "--size", 32, *kinds, "--out", corrupted).exit_code == 0
    options = [part for text in ("hflip", "top:1", "top:2+flip", "random:2") for part in ("--policy", text)]
    line = ["evaluate", with_predictor, "--data", data, "--corrupted", corrupted, *options, "--out", report]
    done = invoke(*line, "--json")
    both = json_of(done)
    assert list(both) == ["corrupted", "policies"]
    assert len(both["corrupted"]["results"][0]["cells"]) == 10
    result = both["policies"]
    assert [each["policy"] for each in result["results"]] == [
        "center", "oracle:1", "hflip", "top:1", "top:2+flip", "random:2"
    ]  # fmt: skip
    center, oracle, _, top, _, _ = result["results"]
    assert center["latency_ratio"] == center["corrupted_latency_ratio"] == 1
    assert center["mean_views"]["clean"] == 1
    assert oracle["latency_ratio"] is None
    assert oracle["common"]["value"] <= min(center["common"]["value"], top["common"]["value"])
    assert oracle["share_of_oracle_gain"] in (1, None)
    assert list(center["errors"]) == ["gaussian_noise", "speckle_noise"]
    assert all(sum(shares) == pytest.approx(1) for shares in top["view_shares"].values())
    assert -1 <= result["rank_correlation"]["common"] <= 1
    assert "rank correlation of predicted and true losses" in done.stderr
    assert sorted(path.name for path in report.iterdir()) == ["corrupted", "policies"]
    assert json.loads((report / "corrupted" / "result.json").read_text()) == both["corrupted"]
    names = {path.name for path in (report / "policies").iterdir()}
    assert {"report.html", "report.md", "result.json"} < names
    assert len([name for name in names if name.endswith(".png")]) >= 2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_policies_of_several_models(plain: Path, with_predictor: Path, folder: Path, tmp_path: Path) -> None:
    line = ["evaluate", plain, with_predictor, "--data", f"folder:{folder}", "--policy", "hflip", "--shifted"]
    both = json_of(invoke(*line, "--out", tmp_path / "report", "--json"))
    assert list(both) == ["shifted", "policies"]
    first, second = both["policies"]["results"]
    assert [each["clean"] for each in first["results"]] == [each["clean"] for each in second["results"]]
    assert {path.name for path in (tmp_path / "report" / "policies").iterdir()} == {
        f"1-{plain.name}", f"2-{with_predictor.name}"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("{plain} --data {data} --corrupted /nowhere", 1, "no corrupted set in /nowhere ... labels.npy"),
        ("{plain} --data {data} --corrupted generate --baseline resnet", 2, "no baseline 'resnet'"),
        ("{plain} --data {data} --corrupted generate --out {plain}", 2, "--out is a folder for the report"),
        ("{plain} --data cifar10:/nowhere --out {plain}", 2, "--out is a folder for the report"),
        ("{plain} --data {data} --baseline alexnet", 2, "--baseline works only together with --corrupted; add it"),
        ("{plain} --data {data} --shifted --devices 2", 2, "--devices works only together with --corrupted; add it"),
        ("{plain} --data {data} --engine onnx", 2, "--engine and --precision are for bundles"),
        ("{plain} {sample} --data {data} --policy hflip", 2, "different classes"),
        ("{plain} --data {data} --policy top:1", 2, "needs a loss predictor ... train-predictor"),
        ("{plain} --data {data} --policy gps:2", 2, "is found by tuning ... tune-policy"),
        ("{plain} --data {data} --policy top:99", 2, "number of views ... 12; got 99"),
        ("{plain} --data {data} --policy hflip --augmented", 2, "--augmented needs augmentation strengths"),
    ],
)
def test_bad_input(
    plain: Path, sample_bundle: Path, folder: Path, tmp_path: Path, line: str, code: int, words: str
) -> None:
    values = {"plain": plain, "sample": sample_bundle, "data": f"folder:{folder}"}
    done = invoke("evaluate", *(part.format(**values) for part in line.split()))
    assert done.exit_code == code, done.stderr
    for part in words.split(" ... "):
        assert part in one_line(done)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.end_to_end
@pytest.mark.skipif(usable_cores() < 2, reason="one core: an evaluation by two processes was not checked")
def test_two_processes_evaluate_as_one_does(plain: Path, folder: Path, corrupted: Path) -> None:
    line = ["evaluate", plain, "--data", f"folder:{folder}", "--corrupted", corrupted, "--shifted", "--json"]
    command = [sys.executable, "-m", "allweather.cli", *map(str, line), "--devices", "2"]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # torch's launcher warns of threads that it sets itself
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=quiet, check=False)
    assert done.returncode == 0, done.stderr
    both, alone = json.loads(done.stdout), json_of(invoke(*line))
    assert both["corrupted"]["results"] == alone["corrupted"]["results"]
    assert both["shifted"] == alone["shifted"]
