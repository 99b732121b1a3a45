from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from commands import invoke, json_of, one_line

from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint


@pytest.mark.slow
def test_networks_are_trained_jointly(folder: Path, tmp_path: Path) -> None:
    data = ["--data", f"folder:{folder}", "--size", 32]
    line = ["train", *data, "--epochs", 2, "--batch-size", 20, "--method", "multi-ait", "--variants", "rp,rpg"]
    line += ["--arch", "resnet8", "--arch", "mobilenetv2", "--fraction", 0.9, "--label-noise", 0.1]
    done = invoke(*line, "--out", tmp_path / "c.safetensors", "--json")
    assert "108 of 120 training images are used" in done.stderr
    assert "11 of 108 training labels are random" in done.stderr
    networks = json_of(done)["networks"]
    assert [each["arch"] for each in networks] == ["resnet8", "mobilenetv2"]
    for each, name in zip(networks, ("c", "c-2"), strict=True):
        assert each["checkpoint"] == str(tmp_path / f"{name}.safetensors")
        loaded = load_checkpoint(Path(each["checkpoint"]))
        assert loaded.settings["train_images"] == 108
        assert "11 of 108 training labels are random" in loaded.settings["notes"][-1]
        assert loaded.metrics["val_accuracy"] == each["val_accuracy"]
        assert loaded.settings["joint_archs"] == ["resnet8", "mobilenetv2"]
        assert (loaded.settings["method"], loaded.settings["loss_weight"]) == ("multi-ait", 1.0)
        assert loaded.history[-1]["val_accuracy"] == loaded.metrics["val_accuracy"]  # its own
    assert json_of(invoke("evaluate", tmp_path / "c-2.safetensors", "--data", f"folder:{folder}", "--json"))


@pytest.mark.slow
def test_each_network_is_a_row_of_the_table(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8", "--arch", "resnet8"]
    done = invoke(*line, "--method", "dml", "--epochs", 1, "--out", tmp_path / "d.safetensors")
    assert done.stdout.count("resnet8") == 2
    assert (tmp_path / "d-2.safetensors").is_file()


@pytest.mark.slow
def test_a_tracked_training_writes_the_logs_of_its_file(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8", "--epochs", 2]
    line += ["--batch-size", 60, "--optimizer", "adamw", "--schedule", "step", "--warmup", 0.1, "--clip-norm", 1]
    line += ["--weight-decay", 0.1, "--sampling", "balanced", "--log", f"csv:{tmp_path}", "--log", f"csv:{tmp_path}/b"]
    assert json_of(invoke(*line, "--out", tmp_path / "c.safetensors", "--json"))
    for logs in (tmp_path, tmp_path / "b"):
        rows = (logs / "c" / "version_0" / "metrics.csv").read_text().splitlines()
        assert len(rows) == 3
        assert "val_accuracy" in rows[0]
    settings = load_checkpoint(tmp_path / "c.safetensors").settings
    given = {"optimizer": "adamw", "schedule": "step", "warmup": 0.1, "clip_norm": 1.0, "weight_decay": 0.1}
    given |= {"sampling": "balanced", "class_weights": "none"}
    assert {name: settings[name] for name in given} == given


@pytest.mark.slow
def test_the_best_epoch_of_a_training_in_parts_is_kept_and_said(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8", "--epochs", 9, "--patience", 1]
    done = invoke(*line, "--batch-size", 60, "--accumulate", 2, "--out", tmp_path / "c.safetensors", "--json")
    result, checkpoint = json_of(done), load_checkpoint(tmp_path / "c.safetensors")
    accuracies = [row["val_accuracy"] for row in checkpoint.history]
    kept, epochs = accuracies.index(max(accuracies)) + 1, len(accuracies)
    assert f"done after {epochs} of 9 epochs; kept epoch {kept}, the best on the validation images" in done.stderr
    assert result["val_accuracy"] == checkpoint.metrics["val_accuracy"] == max(accuracies)
    given = {"patience": 1, "accumulate": 2, "sync_batchnorm": False, "kept_epoch": kept}
    assert {name: checkpoint.settings[name] for name in given} == given
    assert epochs == min(9, kept + 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accumulate", 0], "accumulate must be a whole number, at least 1; got 0"),
        (["--accumulate", 3, "--batch-size", 20], "batch of 20 images cannot be divided evenly into 3 parts"),
        (["--patience", 0], "patience must be a whole number of epochs, at least 1; got 0"),
        pytest.param(
            ["--precision", "fp16"],
            "fp16 needs a GPU, and there is none here; choose bf16 or fp32",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in fp16"),
        ),
        (["--log", "runs"], "a log is csv:DIR, tensorboard:DIR or mlflow:DIR_OR_URI; got 'runs'"),
        (["--log", "csv:FILE/logs"], "is a file, not a folder"),
        (["--log", "csv:OUT"], "name one path; name a folder for the log"),
        (["--log", "csv:DATA/train"], "lies among the images of folder:"),
        (["--clip-norm", 0], "clip norm must be above 0 and finite; got 0"),
        (["--class-weights", "balanced", "--sampling", "balanced"], "both balance the classes; leave one of them out"),
    ],
)
def test_bad_settings_are_told_before_anything_is_trained(
    folder: Path, tmp_path: Path, options: list[object], said: str
) -> None:
    (tmp_path / "file").write_text("")
    paths = {"FILE": tmp_path / "file", "OUT": tmp_path / "c.safetensors", "DATA": folder}
    words = [re.sub("FILE|OUT|DATA", lambda name: str(paths[name[0]]), str(word)) for word in options]
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8"]
    done = invoke(*line, "--out", tmp_path / "c.safetensors", *words)
    assert done.exit_code in (1, 2)
    assert said in one_line(done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.slow
def test_a_recipe_fills_in_what_is_not_given(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8", "--method", "ait"]
    line += ["--recipe", "ait-paper", "--epochs", 1, "--padding", "reflect", "--loss-ramp", 1]
    assert json_of(invoke(*line, "--out", tmp_path / "a.safetensors", "--json"))["val_accuracy"] >= 0
    settings = load_checkpoint(tmp_path / "a.safetensors").settings
    given = {"epochs": 1, "padding": "reflect", "loss_ramp": 1}
    filled = {"lr": 0.1, "schedule": "step", "nesterov": False, "weight_decay": 1e-4, "ema": 0.0, "batch_size": 128}
    assert {name: settings[name] for name in (*given, *filled)} == given | filled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "plain", "--loss-ramp", 2], "method plain has no AiLoss, so it takes no loss ramp"),
        (["--method", "ait", "--loss-ramp", -1], "the loss ramp is a number of epochs, at least 0; got -1"),
        (["--method", "ait", "--batch-size", 15], "a multiple of 2, at least 4; got 15"),
        (
            ["--method", "ait", "--size", 32, "--loss-ramp", 3, "--epochs", 2],
            "ramp of 3 epochs is longer than the training",
        ),
        (["--augment", ""], "an augmentation is augmix, prime"),
        (["--optimizer", "adamw", "--no-nesterov"], "adamw has no Nesterov momentum"),
        (["--crop", "random-resized", "--padding", "zeros"], "shifts no image, so nothing is padded"),
    ],
)
def test_what_a_method_cannot_take_is_told(folder: Path, tmp_path: Path, options: list[object], message: str) -> None:
    line = ["train", "--data", f"folder:{folder}", "--arch", "resnet8", *options, "--out", tmp_path / "a.safetensors"]
    done = invoke(*line)
    assert done.exit_code == 2
    assert message in one_line(done)


@pytest.mark.slow
def test_robust_training_says_in_the_checkpoint_what_it_was(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet8", "--robust", "mixed"]
    line += ["--epochs", 1, "--loss-weight", 6, "--batch-size", 40]
    done = invoke(*line, "--out", tmp_path / "r.safetensors", "--json")
    assert json_of(done)["val_accuracy"] >= 0
    settings = load_checkpoint(tmp_path / "r.safetensors").settings
    assert (settings["robust"], settings["loss_weight"], settings["method"]) == ("mixed", 6.0, "plain")
