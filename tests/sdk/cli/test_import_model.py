"""allweather import of an ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from commands import invoke, json_of
from onnx_graphs import Form, build, fitted_head

from allweather.runtimes.bundle.bundle import Bundle
from allweather.trainers.data.dataset import Dataset


@pytest.fixture
def theirs(dataset: Dataset, tmp_path: Path) -> Path:
    head = fitted_head(dataset.train.images.numpy(), dataset.train.labels.numpy())
    onnx.save(build(Form(batch=1, ending="Softmax"), head), tmp_path / "their.onnx")
    return tmp_path / "their.onnx"


@pytest.mark.slow
def test_a_bundle_of_an_onnx_file(theirs: Path, folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("blue\ngreen\nred\n\n", "utf-8")
    line = ["import", theirs, "--classes", labels, "--data", f"folder:{folder}", "--out", tmp_path / "my.aw"]
    done = invoke(*line, "--engine", "onnx", "--precision", "fp32", "--json")
    result = json_of(done)
    assert result["models"][0]["reference_accuracy"] > 0.9
    assert "NCHW RGB float32, 32 x 32 px, 0..1, mean 0.485,0.456,0.406, std 0.229,0.224,0.225" in done.stderr
    assert "std 0.229,0.224,0.225, crop center 1\n" in done.stderr
    assert Bundle.open(tmp_path / "my.aw").classes == ("blue", "green", "red")
    shown = invoke(*line[:-1], tmp_path / "other.aw", "--engine", "onnx", "--precision", "fp32").stdout
    assert "as original" in shown
    assert "torch" not in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"--data": None}, "needs images of the classes"),
        ({"--arch": "resnet20"}, "holds the graph of its network; leave out --arch"),
        ({"--out": "x.safetensors"}, "becomes a bundle, no checkpoint; write --out x.aw"),
        ({"--classes": "blue,green"}, "3 outputs for each image, and --classes names 2"),
        ({"--classes": "labels-missing.txt"}, "is none of them"),
        ({"--classes": "blue,green,green"}, "'green' is there twice"),
        ({"--layout": "nhwc"}, "takes NCHW, and --layout says nhwc"),
        ({"--size": "64"}, "takes images of 32 x 32 px, and --size says 64"),
        ({"--mean": "124,116,104"}, "divide"),
        ({"--mean": "0.5"}, "three numbers"),
        ({"--engine": "coreml"}, "coreml"),
        ({"--classes": "blue,green,yellow"}, "it lacks yellow"),
    ],
)
@pytest.mark.slow
def test_what_cannot_work_is_told_in_one_line(
    options: dict[str, str | None],
    words: str,
    theirs: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = {"--classes": "blue,green,red", "--data": f"folder:{folder}", "--out": "my.aw"}
    line = [part for name, value in {**usual, **options}.items() if value is not None for part in (name, value)]
    done = invoke("import", theirs, *line)
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2  # what the file takes may be said first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["their.onnx"]


@pytest.mark.slow
def test_options_of_the_other_kind_are_refused(published: Path, tmp_path: Path) -> None:
    weights = published / "cifar10_resnet20.safetensors"
    line = ["import", weights, "--arch", "resnet20", "--classes", "cifar10", "--out", tmp_path / "x.safetensors"]
    for option in (["--data", "signs"], ["--layout", "nchw"], ["--pixels", "255"], ["--engine", "onnx"]):
        done = invoke(*line, *option)
        assert done.exit_code == 2
        assert f"leave out {option[0]}" in done.stderr
