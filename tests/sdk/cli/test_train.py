from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of

from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint


@pytest.mark.slow
def test_networks_are_trained_jointly(folder: Path, tmp_path: Path) -> None:
    data = ["--data", f"folder:{folder}", "--size", 32]
    line = ["train", *data, "--epochs", 2, "--batch-size", 20, "--method", "multi-ait", "--variants", "rp,rpg"]
    line += ["--arch", "resnet20", "--arch", "mobilenetv2", "--fraction", 0.9, "--label-noise", 0.1]
    done = invoke(*line, "--out", tmp_path / "c.safetensors", "--json")
    assert "108 of 120 training images are used" in done.stderr
    assert "11 of 108 training labels are random" in done.stderr
    networks = json_of(done)["networks"]
    assert [each["arch"] for each in networks] == ["resnet20", "mobilenetv2"]
    for each, name in zip(networks, ("c", "c-2"), strict=True):
        assert each["checkpoint"] == str(tmp_path / f"{name}.safetensors")
        loaded = load_checkpoint(Path(each["checkpoint"]))
        assert loaded.settings["train_images"] == 108
        assert "11 of 108 training labels are random" in loaded.settings["notes"][-1]
        assert loaded.metrics["val_accuracy"] == each["val_accuracy"]
        assert loaded.settings["joint_archs"] == ["resnet20", "mobilenetv2"]
        assert (loaded.settings["method"], loaded.settings["loss_weight"]) == ("multi-ait", 3.0)
        assert loaded.history[-1]["val_accuracy"] == loaded.metrics["val_accuracy"]  # its own
    assert json_of(invoke("evaluate", tmp_path / "c-2.safetensors", "--data", f"folder:{folder}", "--json"))


@pytest.mark.slow
def test_each_network_is_a_row_of_the_table(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--arch", "resnet20", "--arch", "resnet20"]
    done = invoke(*line, "--method", "dml", "--epochs", 1, "--out", tmp_path / "d.safetensors")
    assert done.stdout.count("resnet20") == 2
    assert (tmp_path / "d-2.safetensors").is_file()
