from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, json_of, one_line

from allweather.cli.finetune import strengths_in_words
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def finetuned(plain: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier after the command line has finetuned it; it had no augmentation strengths before."""
    out = tmp_path_factory.mktemp("finetuned") / "robust.safetensors"
    line = ["finetune", plain, "--method", "fma", "--data", f"folder:{folder}", "--epochs", 2, "--batch-size", 20]
    line += ["--patience", 2, "--accumulate", 2]
    done = invoke(*line, "--strength-points", 5, "--gamma", 0.5, "--out", out, "--json")
    result = json_of(done)
    assert result["gamma"] == 0.5
    assert set(TABLE_ROWS) < set(result)
    assert set(result["strengths"]) == set(load_checkpoint(out).strengths) == set(AUGMENTATIONS)
    assert load_checkpoint(out).settings["strength_points"] == 5
    history, kept = load_checkpoint(out).history, load_checkpoint(out).settings["kept_epoch"]
    averages = [np.mean([row[name] for name in ("val_accuracy", *TABLE_ROWS)]) for row in history]
    assert kept == np.argmax(averages) + 1
    assert result["average_accuracy"] == pytest.approx(max(averages))
    assert f"kept epoch {kept}" in done.stderr
    assert "epoch 2/2" in done.stderr
    assert "average" in done.stderr
    assert [path.name for path in out.parent.iterdir()] == [out.name], "the run is finished"
    return out


@pytest.mark.slow
def test_models_are_compared_on_augmented_images(
    plain: Path, finetuned: Path, exported: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    line = ["evaluate", plain, finetuned, exported[0], "--data", f"folder:{folder}", "--augmented"]
    first, second, bundle = json_of(invoke(*line, "--out", report, "--json"))["results"]
    assert list(first["accuracies"]) == ["clean", *TABLE_ROWS]
    assert first["average"] == pytest.approx(np.mean(list(first["accuracies"].values())))
    assert abs(bundle["average"] - first["average"]) < 0.05  # the same weights in another engine
    assert second["provenance"]["history"][0]["epoch"] == 1
    assert {path.name for path in report.glob("*.png")} == {"augmentations.png", "finetuning-2.png"}
    for path in report.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
    assert "| average improvement |" in (report / "report.md").read_text()


@pytest.mark.slow
def test_strengths_that_there_are_are_not_searched_again(finetuned: Path, folder: Path, tmp_path: Path) -> None:
    tuned = tmp_path / "tuned.safetensors"
    save_checkpoint(tuned, replace(load_checkpoint(finetuned), policies=(parse_policy("hflip"),)))
    line = ["finetune", tuned, "--method", "st", "--data", f"folder:{folder}", "--epochs", 1, "--batch-size", 20]
    done = invoke(*line, "--max-clean-drop", 99, "--out", tmp_path / "again.safetensors", "--json")
    assert "again.safetensors has no loss predictor and no policies, which belong to weights" in one_line(done)
    again = json_of(done)
    assert again["strengths"] == load_checkpoint(finetuned).strengths
    assert again["finetuned_share"] == 1
    assert strengths_in_words(again["strengths"]) in one_line(done)
    assert "lose at most 99 points of clean accuracy, and are kept as they are" in one_line(done)
    refused = invoke(*line, "--strength-points", 5, "--out", tmp_path / "x.safetensors")
    assert refused.exit_code == 2
    assert "has augmentation strengths already; leave out --strength-points" in one_line(refused)
    assert not (tmp_path / "x.safetensors").exists()


def test_strengths_are_told() -> None:
    told = strengths_in_words({"brightness-": -0.0680634, "gaussian_blur": 8.0})
    assert told.startswith("augmentation strengths: brightness- -0.0681, gaussian blur 8 (")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (
            "finetune {plain} --data signs --method st --strength-points 0 --out {out}",
            2,
            "above 0 ... 100; got 0",
        ),
        ("finetune {plain} --data {data} --method st --strength-points 99 --out {out}", 1, "99 points"),
        ("finetune {plain} --data {data} --method st --max-clean-drop 100 --out {out}", 2, "at least 0 ... got 100"),
        ("finetune {plain} --data signs --method st --out {out}", 2, "3 classes (blue, green, red, ...)"),
        ("finetune {plain} --data {data} --method st --gamma much --out {out}", 2, "--gamma ... or search ... much"),
        ("finetune {plain} --data {data} --method st --gamma -1 --out {out}", 2, "gamma ... at least 0; got -1"),
        ("finetune {plain} --data {data} --method at --gamma search --out {out}", 2, "no gamma to search for"),
        ("finetune {plain} --data {data} --method st --only noise --out {out}", 2, "--only ... --strategy ia"),
        ("finetune {plain} --data {data} --method st --out x.bin", 2, ".safetensors"),
        ("evaluate {plain} --data {data} --augmented", 2, "--augmented needs augmentation strengths ... finetune"),
    ],
)
def test_bad_input(plain: Path, folder: Path, tmp_path: Path, line: str, code: int, words: str) -> None:
    values = {"plain": plain, "data": f"folder:{folder}", "out": tmp_path / "x.safetensors"}
    done = invoke(*(part.format(**values) for part in line.split()))
    assert done.exit_code == code, done.stderr
    for part in words.split(" ... "):
        assert part in one_line(done)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
