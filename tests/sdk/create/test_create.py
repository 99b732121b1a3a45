"""A bundle is created in one command of small data: by training, of an ONNX file, and after a kill."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest
from commands import invoke, json_of, start
from onnx_graphs import Form, build, fitted_head
from trained_models import paint_folder

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.load import load
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]
CONFIG = """
size: 32
train: {epochs: 4, batch_size: 20}
finetune: {epochs: 1, batch_size: 20, method: st}
predictor: {epochs: 1}
tune: {policies: [hflip, 'top:2']}
export: {engines: [openvino], precisions: [fp32]}
evaluate: {images: 6}
"""
TRAINED = ["train the plain classifier", "finetune it to be robust", "train the loss predictor", "tune the policy"]


OWN = """
from torch import nn

def tiny(num_classes):
    layers = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, num_classes))

def wide(num_classes):
    layers = nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16, num_classes))
"""


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = paint_folder(tmp_path_factory.mktemp("data") / "colors", {"train": 40, "val": 20, "test": 4})
    return f"folder:{root}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "create.yaml"
    path.write_text(CONFIG)
    return path


def states(result: dict[str, Any]) -> dict[str, str]:
    return {name: stage["state"] for name, stage in result["stages"].items()}


def check_report(folder: Path, systems: list[str]) -> None:
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for name in re.findall(r'src="([^"]+)"', page):
        assert cv2.imread(str(folder / name)) is not None, name
    for image in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text):
        assert (folder / image).exists()
    stored = json.loads((folder / "result.json").read_text())["comparison"]
    assert [each["name"] for each in stored["systems"]] == systems
    for each in stored["systems"]:
        assert set(each["errors"]) == {"clean", "common", "noise", "blur", "weather", "digital", "extra"}
        assert all(0 <= error["low"] <= error["value"] <= error["high"] <= 1 for error in each["errors"].values())
        assert sum(count for count, *_ in each["reliability"]) == 19 * 5 * stored["images"]
        assert 0 < each["milliseconds"][0] <= each["milliseconds"][1]
        assert each["name"] in page
        assert each["name"] in text
    assert stored["systems"][0]["change"] is None


def test_a_bundle_of_a_network_is_trained_kept_and_made_anew(
    colors: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network_to_keep.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    network = ("--model", "own_network_to_keep:tiny")  # it computes much less than a ResNet-20
    out, words = tmp_path / "my.aw", ("--data", colors, *network, "--config", config, "--json")
    first = json_of(invoke("create", out, *words))
    assert set(states(first).values()) == {"done"}
    assert [*states(first)][:4] == TRAINED
    check_report(tmp_path / "my.aw.report", ["plain", "robust", "robust + TTA"])
    bundle = Bundle.open(out)
    assert {model.role for model in bundle.manifest.models} == {"classifier", "predictor"}
    with load(out) as perceiver:
        assert perceiver(bundle.golden_frames()[0]).label in bundle.classes
    checkpoint = load_checkpoint(tmp_path / ".my.aw.create" / "tune" / "classifier.safetensors")
    assert checkpoint.strengths
    assert checkpoint.policies == bundle.manifest.policies

    config.write_text(CONFIG.replace("\ntune:", "\n# tune:").replace("images: 6", "images: 5"))
    again = invoke("create", out, *words, "--report", tmp_path / "other")
    second = json_of(again)
    assert [states(second)[name] for name in TRAINED] == ["kept", "kept", "kept", "done"]
    assert states(second)["export the plain classifier"] == "kept"
    assert "tune the policy: policies was ['hflip', 'top:2'] and is []; it is made anew" in again.stderr
    assert "evaluate: images was 6 and is 5; it is made anew" in again.stderr
    assert json.loads((tmp_path / "other" / "result.json").read_text())["comparison"]["images"] == 5
    same = json_of(invoke("create", out, "--config", tmp_path / "other" / "create.yaml", "--json"))
    assert set(states(same).values()) - {"kept"} == {"done"}  # the report alone
    assert [name for name, state in states(same).items() if state == "done"] == ["write bundle and report"]
    assert not list(tmp_path.glob(".my.aw.lock*"))


def test_a_bundle_of_somebodys_onnx_file(colors: str, config: Path, dataset: Dataset, tmp_path: Path) -> None:
    file, out = tmp_path / "their.onnx", tmp_path / "their.zip"
    head = fitted_head(dataset.train.images.numpy(), dataset.train.labels.numpy())
    onnx.save(build(Form(batch=1, ending="Softmax"), head), file)
    words = ("--data", colors, "--onnx", file, "--config", config, "--json")
    done = invoke("create", out, *words)
    result = json_of(done)
    assert "taken for the classes of the data in its order, blue, green, red;" in done.stderr
    assert [*states(result)] == [
        "import the classifier", "train the loss predictor", "tune the policy", "evaluate", "write bundle and report",
    ]  # fmt: skip
    check_report(tmp_path / "their.zip.report", ["imported", "imported + TTA"])
    manifest = Bundle.open(out).manifest
    assert manifest.arch == "onnx:their"
    assert {model.role for model in manifest.models} == {"classifier", "predictor"}
    assert not list(tmp_path.rglob(".*.resume"))
    assert manifest.policies
    errors = result["comparison"]["systems"][0]["errors"]
    assert errors["clean"]["value"] < 0.3  # its own preparation was found


def test_a_bundle_of_a_network_of_the_users_own(
    colors: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network_to_create.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    text = re.sub("(finetune|predictor): .*", r"\1: none", CONFIG)
    config.write_text(text.replace("[hflip, 'top:2']", "[hflip]"))
    line = ["create", "my.aw", "--data", colors, "--config", config, "--json", "--model"]
    first = json_of(invoke(*line, "own_network_to_create:tiny"))
    assert [system["name"] for system in first["comparison"]["systems"]] == ["plain", "plain + TTA"]
    assert set(states(json_of(invoke(*line, "own_network_to_create:tiny"))).values()) == {"kept", "done"}
    other = invoke(*line, "own_network_to_create:wide")
    assert states(json_of(other))["train the plain classifier"] == "done"
    assert "model was own_network_to_create:tiny and is own_network_to_create:wide; it is made anew" in other.stderr


def test_another_crop_and_other_corrupted_images_make_stages_anew(
    colors: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network_to_recreate.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    json_of(invoke("corrupt", "--data", colors, "--size", "32", "--out", "fog", "--corruption", "fog", "--json"))
    text = re.sub("(finetune|predictor): .*", r"\1: none", CONFIG).replace("[hflip, 'top:2']", "[hflip]")
    config.write_text(text.replace("{images: 6}", "{corruptions: fog}"))
    network = ["--model", "own_network_to_recreate:tiny"]
    line = ["create", "my.aw", "--data", colors, "--config", config, *network, "--json"]
    json_of(invoke(*line))
    os.utime("fog/fog.npy", (1, 1))
    other = invoke(*line)
    assert next(name for name, state in states(json_of(other)).items() if state == "done") == "evaluate"
    assert "evaluate: the corrupted images changed; it is made anew" in other.stderr
    config.write_text(config.read_text() + "crop: squash\n")
    other = invoke(*line)
    assert "kept" not in states(json_of(other)).values()
    assert "crop was center 1 and is squash 1; it is made anew" in other.stderr
    assert Bundle.open(Path("my.aw")).manifest.input.crop == "squash"


def test_what_was_killed_goes_on_and_ends_as_what_was_not(colors: str, config: Path, tmp_path: Path) -> None:
    short = {"finetune: ": "finetune: none\n#", "predictor: ": "predictor: none\n#", "[hflip, 'top:2']": "[hflip]"}
    text = CONFIG
    for before, after in short.items():
        text = text.replace(before, after)
    config.write_text(text)
    words = ["--data", colors, "--arch", "resnet8", "--config", config, "--json"]
    undisturbed, out = tmp_path / "a" / "my.aw", tmp_path / "b" / "my.aw"
    whole = json_of(invoke("create", undisturbed, *words))
    kept = out.parent / ".my.aw.create"
    for wait in (kept / "train" / ".classifier.safetensors.resume", kept / "evaluate" / ".cells" / "0"):
        killed = start("create", out, *words)
        while not (wait.exists() and (wait.is_file() or any(wait.glob("[a-z]*")))):
            assert killed.poll() is None, killed.communicate()
            time.sleep(0.005)
        second = invoke("create", out, *words)
        assert second.exit_code == 1
        assert f"process {killed.pid} is writing" in second.stderr
        killed.kill()
        killed.communicate()
        assert not out.exists()
    done = json_of(invoke("create", out, *words))
    assert states(done)["train the plain classifier"] == "kept"
    assert Bundle.open(out).classes == Bundle.open(undisturbed).classes
    weights = [each.parent / ".my.aw.create" / "train" / "classifier.safetensors" for each in (undisturbed, out)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    for one, other in zip(whole["comparison"]["systems"], done["comparison"]["systems"], strict=True):
        assert one["errors"] == other["errors"]
    assert sorted(path.name for path in out.parent.iterdir()) == [".my.aw.create", "my.aw", "my.aw.report"]
