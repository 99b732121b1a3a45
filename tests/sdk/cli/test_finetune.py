from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.bundle.manifest import Manifest
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint import load_checkpoint


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def calibrated(plain: Path, folder: Path) -> Path:
    """What the command line made of it."""
    out = plain.with_name("calibrated.safetensors")
    done = run("calibrate", plain, "--data", f"folder:{folder}", "--points", 5, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["strengths"]] == list(TABLE_ROWS)
    assert set(load_checkpoint(out).strengths) == set(AUGMENTATIONS)
    return out


def test_from_a_checkpoint_to_a_robust_one(
    calibrated: Path, exported: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    data, out = f"folder:{folder}", tmp_path / "robust.safetensors"
    line = ["--method", "fma", "--data", data, "--epochs", 2, "--batch", 20, "--out", out]
    done = run("finetune", calibrated, *line, "--gamma", 0.5, "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["gamma"] == 0.5
    assert set(TABLE_ROWS) < set(facts)
    assert "epoch 2/2" in done.stderr
    assert "mean of ten" in done.stderr
    report = tmp_path / "report"
    seen = run("evaluate", calibrated, out, exported[0], "--data", data, "--augmented", "--out", report, "--json")
    assert seen.exit_code == 0, seen.stderr
    first, second, bundle = json.loads(seen.stdout)["results"]
    assert list(first["accuracies"]) == ["clean", *TABLE_ROWS]
    assert first["average"] == pytest.approx(np.mean(list(first["accuracies"].values())))
    assert abs(bundle["average"] - first["average"]) < 0.05  # the same weights in another engine
    assert second["history"][0]["epoch"] == 1
    assert {path.name for path in report.glob("*.png")} == {"augmentations.png", "finetuning-2.png"}
    for path in report.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
    assert "| average improvement |" in (report / "report.md").read_text()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("calibrate {plain} --data {data} --points 0 --out {out}", 2, "above 0 and below 100; got 0"),
        ("calibrate {plain} --data {data} --points 99 --out {out}", 1, "cannot lose 99 points"),
        ("calibrate {plain} --data signs --out {out}", 2, "the classifier knows 3 classes (blue, green, red, ...)"),
        ("finetune {plain} --data {data} --method st --out {out}", 2, "no calibrated strengths; run: allweather calib"),
        ("finetune {calibrated} --data signs --method st --out {out}", 2, "the classifier knows 3 classes"),
        ("finetune {calibrated} --data {data} --method st --gamma much --out {out}", 2, "a number from 0, or search"),
        ("finetune {calibrated} --data {data} --method st --gamma -1 --out {out}", 2, "a number from 0; got -1"),
        ("finetune {calibrated} --data {data} --method at --gamma search --out {out}", 2, "no gamma to search for"),
        ("finetune {calibrated} --data {data} --method st --out x.bin", 2, "a checkpoint is a .safetensors file"),
        ("evaluate {plain} --data {data} --augmented", 2, "none of the targets is a calibrated checkpoint"),
        ("evaluate {calibrated} --data {data} --augmented --corrupted generate", 2, "one at a time"),
    ],
)
def test_bad_input(
    plain: Path, calibrated: Path, folder: Path, tmp_path: Path, line: str, code: int, message: str
) -> None:
    values = {"plain": plain, "calibrated": calibrated, "data": f"folder:{folder}", "out": tmp_path / "x.safetensors"}
    done = run(*(part.format(**values) for part in line.split()))
    assert done.exit_code == code, done.stderr
    assert message in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
