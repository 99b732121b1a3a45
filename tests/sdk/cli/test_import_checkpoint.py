from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of
from safetensors.torch import save_file

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.models.registry import build_model


@pytest.mark.slow
def test_import(published: Path, tmp_path: Path) -> None:
    weights, out = published / "cifar10_resnet20.safetensors", tmp_path / "r.safetensors"
    line = ["import", weights, "--arch", "resnet20", "--classes", "cifar10"]
    assert json_of(invoke(*line, "--out", out, "--json"))["classes"] == 10
    assert load_checkpoint(out).classes[9] == "truck"
    line = ["import", weights, "--out", tmp_path / "x.safetensors"]
    other = invoke(*line, "--arch", "resnet56", "--classes", "cifar10")
    assert other.exit_code == 1
    assert "--arch" in other.stderr
    few = invoke(*line, "--arch", "resnet20", "--classes", "a,b")
    assert few.exit_code == 1
    assert "linear.weight has the shape [10, 64]" in few.stderr
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--classes", ",".join(["cat"] * 10), "'cat' is there twice"),
        ("--classes", "\u00e9t,e\u0301t,c,d,e,f,g,h,i,j", "is there twice"),
        ("--classes", "\x1b[31mred,b,c,d,e,f,g,h,i,j", "U+001B"),
        ("--classes", "caf\udce9,b,c,d,e,f,g,h,i,j", "U+DCE9"),
        ("--classes", "a" * 5000 + ",b,c,d,e,f,g,h,i,j", "5000 characters"),
        ("--mean", "123.7,116.3,103.5", "divide"),
        ("--std", "58.4,57.1,57.4", "divide"),
        ("--size", "0", "16 to 1024 pixels, or height and width; got 0"),
        ("--classes", "/dev/zero", "is a folder, a pipe or a device; name a text file"),
        ("--classes", "/", "is a folder, a pipe or a device; name a text file"),
        ("--std", "0.5,1e-40,0.5", "std of a model's input is 1e-06 to 1e+06"),
    ],
)
@pytest.mark.slow
def test_values_that_would_be_wrong_later_are_refused(tmp_path: Path, option: str, value: str, words: str) -> None:
    out, weights = tmp_path / "x.safetensors", tmp_path / "weights.safetensors"
    save_file(build_model("resnet20", 10, InputSpec(32, 32)).network.state_dict(), weights)
    line = ["import", weights, "--arch", "resnet20", "--out", out]
    classes = [] if option == "--classes" else ["--classes", "cifar10"]
    done = invoke(*line, *classes, option, value)
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_the_weights_are_not_replaced_by_their_checkpoint(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(build_model("resnet20", 10, InputSpec(32, 32)).network.state_dict(), weights)
    before = weights.read_bytes()
    done = invoke("import", weights, "--arch", "resnet20", "--classes", "cifar10", "--out", weights)
    assert done.exit_code == 2
    assert "itself; name another file" in done.stderr
    assert weights.read_bytes() == before


def test_a_network_of_bgr_is_told_how_it_gets_its_channels(tmp_path: Path) -> None:
    line = ["import", tmp_path / "weights.pth", "--model", "mine:network", "--classes", "a,b", "--channels", "bgr"]
    done = invoke(*line, "--out", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert "whose network gets RGB images: give one that begins with images.flip(1), as --model" in done.stderr
    assert "leave out --channels" in done.stderr
