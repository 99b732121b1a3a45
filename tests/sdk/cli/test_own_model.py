"""Networks of the user's own and of libraries on the command line: trained, imported and evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import invoke, json_of, one_line
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.models.registry import build_model

SOURCE = """
from torch import nn

def tiny(num_classes):
    layers = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, num_classes))
"""
MODULE = "own_network_of_the_commands"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return f"{MODULE}:tiny"


@pytest.mark.slow
def test_the_whole_journey_of_an_own_network(own: str, folder: Path, tmp_path: Path) -> None:
    plain, robust, seeing = (tmp_path / f"{name}.safetensors" for name in ("plain", "robust", "seeing"))
    data, few = ("--data", f"folder:{folder}"), ("--epochs", 1, "--batch-size", 20)
    trained = invoke("train", *data, "--size", 32, "--model", own, *few, "--epochs", 4, "--out", plain, "--json")
    assert json_of(trained)["arch"] == f"own:{own}"
    line = ["finetune", plain, *data, "--method", "fma", *few, "--out", robust]
    unnamed = invoke(*line)
    assert unnamed.exit_code == 1
    assert f"a network of your own, {own}; name it: --model package.module:function" in one_line(unnamed)
    assert invoke(*line, "--model", own).exit_code == 0
    predictor = ("--epochs", 1, "--copies", 1, "--model", own, "--out", seeing)
    assert invoke("train-predictor", robust, *data, *predictor).exit_code == 0
    tuned = invoke("tune-policy", seeing, *data, "--model", own, "--out", tmp_path / "tuned.safetensors")
    assert tuned.exit_code == 0
    line = ["evaluate", tmp_path / "tuned.safetensors", *data, "--model", own, "--json"]
    assert 0 <= json_of(invoke(*line))["accuracy"] <= 1


@pytest.mark.slow
def test_weights_of_an_own_network_are_imported(own: str, tmp_path: Path) -> None:
    namespace: dict[str, object] = {}
    exec(SOURCE, namespace)  # noqa: S102 # the module that the command imports
    network = namespace["tiny"](num_classes=3)  # type: ignore[operator]
    assert isinstance(network, nn.Module)
    weights, out = tmp_path / "weights.pth", tmp_path / "c.safetensors"
    torch.save({"model": {f"module.{key}": value for key, value in network.half().state_dict().items()}}, weights)
    line = ["import", weights, "--classes", "a,b,c", "--model", own, "--out", out]
    assert "--size" in one_line(invoke(*line))
    assert json_of(invoke(*line, "--size", 24, "--json")) == {
        "checkpoint": str(out), "arch": f"own:{own}", "classes": 3, "size": 24,
    }  # fmt: skip
    read = load_checkpoint(out, own).classifier().network.state_dict()
    assert all(
        torch.allclose(read[key].float(), value.float(), atol=1e-2) for key, value in network.state_dict().items()
    )


@pytest.mark.slow
def test_weights_of_a_library_have_its_size_and_normalization(tmp_path: Path) -> None:
    arch, out = "timm:resnet18d", tmp_path / "c.safetensors"
    weights = tmp_path / "weights.pth"
    torch.save(build_model(arch, 3, InputSpec(224, 224)).network.state_dict(), weights)
    labels = tmp_path / "labels.txt"
    labels.write_text("tench, Tinca tinca\ngoldfish\nshark\n")
    done = invoke("import", weights, "--arch", arch, "--classes", labels, "--out", out, "--json")
    assert json_of(done)["size"] == 224
    checkpoint = load_checkpoint(out)
    assert checkpoint.classes == ("tench, Tinca tinca", "goldfish", "shark")
    assert checkpoint.input.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["train", "--data", "signs"], "name the network to train: --arch resnet20, for example, or your own"),
        (["train", "--data", "signs", "--arch", "resnet20", "--model", "a:b"], "--model both name a network"),
        # before the data is opened
        (
            ["train", "--data", "folder:/nowhere", "--model", "nothing"],
            "named as package.module:function; got 'nothing'",
        ),
        (["train", "--data", "folder:/nowhere", "--model", "no_such:f"], "there is no module no_such in"),
        (["train", "--data", "signs", "--arch", "timm:nothing"], "no model of timm is called 'nothing'"),
        (["import", "x.pth", "--classes", "a,b"], "name the network of the weights in x.pth"),
    ],
)
@pytest.mark.slow
def test_a_network_that_is_not_named_rightly_is_one_line(line: list[str], words: str, tmp_path: Path) -> None:
    done = invoke(*line, "--out", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert words in one_line(done)
