"""allweather learn-augmentation and show-augmentation, and the commands that use what they make."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, json_of

from allweather.cli.learn_augmentation import reliability_line
from allweather.trainers.augmentations.learned.augmentation import load_augmentation, save_augmentation
from allweather.trainers.choices import HeldOut
from allweather.trainers.methods.learned_augmentation.reliability import Reliability
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings


@pytest.fixture(scope="module")
def learned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An augmentation that the command line has learned."""
    out = tmp_path_factory.mktemp("augmentation") / "colors.safetensors"
    line = ["--data", f"folder:{folder}", "--arch", "resnet8", "--size", 32, "--batch-size", 16, "--gan-epochs", 1]
    done = invoke("learn-augmentation", *line, "--epochs", 1, "--classifier-epochs", 1, "--out", out, "--json")
    result = json_of(done)
    assert 0 <= result["improved_share"] <= 1
    assert done.stderr.count("epoch 1/1") == 3, "a line for each stage"
    said = f"two halves of {result['held_out_images']:.0f} held-out images correlate by"
    assert f"{said} {result['split_half_correlation']:.2f}" in " ".join(done.stderr.split())
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
    result = json.loads((out / "result.json").read_text())
    assert result["settings"]["aim"] == "clean"
    assert f"{result['metrics']['split_half_correlation']:.2f}" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_control_is_made_without_a_classifier(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "chance.safetensors"
    line = ["--data", f"folder:{folder}", "--arch", "resnet8", "--size", 32, "--gan-epochs", 0, "--epochs", 0]
    done = invoke("learn-augmentation", *line, "--grid", 4, "--color-limit", 0.2, "--out", out, "--json")
    assert json_of(done)["grid"] == 4
    assert "epoch" not in done.stderr
    line = ["show-augmentation", out, "--data", f"folder:{folder}", "--size", 32, "--out", tmp_path / "report"]
    assert invoke(*line).exit_code == 0


@pytest.mark.parametrize(
    ("reliability", "held_out", "words"),
    [
        (Reliability(0.65, 5000), "share", "influence: two halves of 5000 held-out images correlate by 0.65"),
        (Reliability(0.1, 900), "share", "about 8100 held-out images for 0.5 (--held-out val has 5000), or train with"),
        (Reliability(0.1, 900), "val", "about 8100 held-out images for 0.5, or train with --augment trivial instead"),
        (Reliability(-0.1, 900), "val", "mostly chance; take more held-out images, or train with --augment trivial"),
    ],
)
def test_what_is_said_about_the_reliability(reliability: Reliability, held_out: HeldOut, words: str) -> None:
    line = reliability_line(reliability, LearnAugmentationSettings(held_out=held_out), 5000)
    assert words in line
    assert reliability.mostly_chance == ("mostly chance" in line)


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
    line = ["train", "--arch", "resnet8", "--size", 32, *common, "--out", tmp_path / "trained.safetensors"]
    assert json_of(invoke(*line, "--json"))
    line = ["finetune", plain, "--method", "st", *common, "--out", tmp_path / "tuned.safetensors"]
    assert json_of(invoke(*line, "--json"))["strengths"] == {}, "a learned augmentation needs none"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["train", "--augment", "learned:nowhere.safetensors"], 1, "nowhere"),
        (["train", "--augment", "sharper"], 2, "trivial, corruptions, augmix+corruptions or learned:FILE"),
        (["learn-augmentation", "--arch", "resnet21"], 2, "resnet20"),
        (["learn-augmentation", "--damping", 0], 2, "damping"),
        (["learn-augmentation", "--epochs", -1], 2, "epochs"),
        (["learn-augmentation", "--held-out", "train"], 2, "share"),
        (["learn-augmentation", "--classifiers", 0], 2, "classifiers"),
        (["learn-augmentation", "--grid", 3], 2, "1, 4, 8"),
        (["learn-augmentation", "--color-limit", 0], 2, "color limit"),
        (["train", "--augment", "trivial", "--augment-share", 1], 2, "learned:FILE"),
        (["learn-augmentation", "--mode", "spacial"], 2, "spatial"),
    ],
)
def test_bad_input_gets_one_line(line: list[object], code: int, words: str, folder: Path, tmp_path: Path) -> None:
    command, *rest = line
    out = tmp_path / "out.safetensors"
    arch = [] if "--arch" in rest else ["--arch", "resnet8"]
    done = invoke(command, "--data", f"folder:{folder}", *arch, "--out", out, *rest)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_shown(plain: Path, folder: Path, tmp_path: Path) -> None:
    done = invoke("show-augmentation", plain, "--data", f"folder:{folder}", "--out", tmp_path / "report")
    assert done.exit_code == 1
    assert "learned augmentation" in done.stderr
