"""allweather learn-augmentation and show-augmentation, and the commands that use what they make."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, json_of

from allweather.trainers.augmentations.learned.augmentation import load_augmentation, save_augmentation


@pytest.fixture(scope="module")
def learned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An augmentation that the command line has learned."""
    out = tmp_path_factory.mktemp("augmentation") / "colors.safetensors"
    line = ["--data", f"folder:{folder}", "--arch", "resnet20", "--size", 32, "--batch-size", 16, "--gan-epochs", 1]
    done = invoke("learn-augmentation", *line, "--epochs", 1, "--classifier-epochs", 1, "--out", out, "--json")
    assert 0 <= json_of(done)["improved_share"] <= 1
    assert done.stderr.count("epoch 1/1") == 3, "a line for each stage"
    return out


@pytest.mark.slow
def test_it_is_shown(learned: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    line = ["show-augmentation", learned, "--data", f"folder:{folder}", "--size", 32, "--out", out]
    assert json_of(invoke(*line, "--json"))["mode"] == "parallel"
    assert {"report.html", "result.json"} < {path.name for path in out.iterdir()}
    assert len(list(out.glob("*.png"))) == 2
    for path in out.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
    assert json.loads((out / "result.json").read_text())["settings"]["aim"] == "clean"


@pytest.mark.slow
def test_a_file_without_settings_is_shown_as_well(learned: Path, folder: Path, tmp_path: Path) -> None:
    bare = dataclasses.replace(load_augmentation(learned), settings={}, metrics={}, history=())
    save_augmentation(tmp_path / "bare.safetensors", bare)
    line = ["--data", f"folder:{folder}", "--size", 32, "--out", tmp_path / "report"]
    done = invoke("show-augmentation", tmp_path / "bare.safetensors", *line)
    assert done.exit_code == 0, done.stderr


@pytest.mark.slow
def test_train_and_finetune_take_it(learned: Path, plain: Path, folder: Path, tmp_path: Path) -> None:
    common = ["--data", f"folder:{folder}", "--augment", f"learned:{learned}", "--epochs", 1, "--batch-size", 16]
    line = ["train", "--arch", "resnet20", "--size", 32, *common, "--out", tmp_path / "trained.safetensors"]
    assert json_of(invoke(*line, "--json"))
    line = ["finetune", plain, "--method", "st", *common, "--out", tmp_path / "tuned.safetensors"]
    assert json_of(invoke(*line, "--json"))["strengths"] == {}, "a learned augmentation needs none"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["train", "--augment", "learned:nowhere.safetensors"], 1, "nowhere"),
        (["train", "--augment", "sharper"], 2, "augmix, randaugment, trivial or learned:FILE"),
        (["learn-augmentation", "--arch", "resnet21"], 2, "resnet20"),
        (["learn-augmentation", "--damping", 0], 2, "damping"),
        (["learn-augmentation", "--epochs", 0], 2, "epochs"),
        (["learn-augmentation", "--mode", "spacial"], 2, "spatial"),
    ],
)
def test_bad_input_gets_one_line(line: list[object], code: int, words: str, folder: Path, tmp_path: Path) -> None:
    command, *rest = line
    out = tmp_path / "out.safetensors"
    arch = [] if "--arch" in rest else ["--arch", "resnet20"]
    done = invoke(command, "--data", f"folder:{folder}", *arch, "--out", out, *rest)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_shown(plain: Path, folder: Path, tmp_path: Path) -> None:
    done = invoke("show-augmentation", plain, "--data", f"folder:{folder}", "--out", tmp_path / "report")
    assert done.exit_code == 1
    assert "learned augmentation" in done.stderr
