from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.trainers.augmentations.learned.augmentation import load_augmentation, save_augmentation


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def learned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line learned."""
    out = tmp_path_factory.mktemp("augment") / "colors.safetensors"
    line = ["--data", f"folder:{folder}", "--arch", "resnet20", "--size", 32, "--batch", 16, "--mimicry", 1]
    done = run("augmenter", *line, "--epochs", 1, "--classifier-epochs", 1, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert 0 <= json.loads(done.stdout)["helped"] <= 1
    assert "benefit: epoch 1" in done.stderr
    return out


def test_it_is_shown(learned: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = run("augment", learned, "--data", f"folder:{folder}", "--size", 32, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"report.html", "result.json", "diverse.png", "interpolated.png"}
    for path in out.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
    assert json.loads((out / "result.json").read_text())["settings"]["aim"] == "clean"


def test_a_file_that_tells_no_settings_is_shown_too(learned: Path, folder: Path, tmp_path: Path) -> None:
    bare = dataclasses.replace(load_augmentation(learned), settings={}, metrics={}, history=())
    save_augmentation(tmp_path / "bare.safetensors", bare)
    line = ["--data", f"folder:{folder}", "--size", 32, "--out", tmp_path / "report"]
    done = run("augment", tmp_path / "bare.safetensors", *line)
    assert done.exit_code == 0, done.stderr


def test_train_and_finetune_take_it(learned: Path, plain: Path, folder: Path, tmp_path: Path) -> None:
    common = ["--data", f"folder:{folder}", "--augment", f"learned:{learned}", "--epochs", 1, "--batch", 16, "--json"]
    done = run("train", "--arch", "resnet20", "--size", 32, *common, "--out", tmp_path / "trained.safetensors")
    assert done.exit_code == 0, done.stderr
    done = run("finetune", plain, "--method", "st", *common, "--out", tmp_path / "tuned.safetensors")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["train", "--augment", "learned:nowhere.safetensors"], 1, "nowhere"),
        (["train", "--augment", "sharper"], 2, "augmix, randaugment, trivial or learned:FILE"),
        (["augmenter", "--arch", "resnet21"], 2, "resnet20"),
        (["augmenter", "--damping", 0], 2, "damping"),
        (["augmenter", "--epochs", 0], 2, "epochs"),
    ],
)
def test_wrong_input_gets_one_line(line: list[object], code: int, words: str, folder: Path, tmp_path: Path) -> None:
    command, *rest = line
    out = tmp_path / "out.safetensors"
    arch = [] if "--arch" in rest else ["--arch", "resnet20"]
    done = run(command, "--data", f"folder:{folder}", *arch, "--out", out, *rest)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert not out.exists()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_shown(plain: Path, folder: Path, tmp_path: Path) -> None:
    done = run("augment", plain, "--data", f"folder:{folder}", "--out", tmp_path / "report")
    assert done.exit_code == 1
    assert "no learned augmentation" in done.stderr
