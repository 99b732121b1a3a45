"""Images that are no squares, and crops: training, export and the camera loop bring an image to the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import allweather
from allweather import trainers
from allweather.cli.app import app
from allweather.exporters import ExportOptions, export
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.crop import Crop
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.inference.open_model import open_model


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of 60 x 100 pixels; the class is the color of the left edge, which a center crop cuts off."""
    root, rng = tmp_path_factory.mktemp("wide"), np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 12), ("test", 12)):
        for channel, label in enumerate(("red", "green", "blue")):
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                image = rng.integers(60, 120, (60, 100, 3), np.uint8)
                image[:, :14, channel] = 240
                cv2.imwrite(str(root / split / label / f"{index}.png"), image[..., ::-1])
    return root


@pytest.mark.slow
def test_the_loop_decides_on_the_pixels_that_training_saw(wide: Path, tmp_path: Path) -> None:
    data = trainers.load_dataset(f"folder:{wide}", (24, 40), crop=Crop("squash"))
    assert data.train.images.shape[1:] == (24, 40, 3)
    plain = trainers.train("resnet8", data, settings=trainers.FitSettings(epochs=12, batch_size=24))
    assert plain.input.crop == Crop("squash")
    seeing = trainers.train_predictor(plain, data, epochs=1)
    export(seeing, data, tmp_path / "wide.aw", ExportOptions(["openvino"], ["fp32"]))
    assert Bundle.open(tmp_path / "wide.aw").input == plain.input
    files = sorted((wide / "test").glob("*/*.png"))
    perceiver = allweather.load(tmp_path / "wide.aw", policy="top:2", budget_ms=10_000)
    decided = [perceiver(cv2.imread(str(file))[..., ::-1]) for file in files]
    perceiver.close()
    assert np.mean([d.label == f.parent.name for d, f in zip(decided, files, strict=True)]) > 0.9


@pytest.mark.slow
def test_the_command_line_takes_a_size_and_a_crop(wide: Path, tmp_path: Path) -> None:
    checkpoint, bundle = tmp_path / "x.safetensors", tmp_path / "x.aw"
    command = f"train --data folder:{wide} --arch resnet8 --epochs 1 --size 24x40 --crop-fraction 0.875"
    done = CliRunner().invoke(app, [*command.split(), "--out", str(checkpoint)])
    assert done.exit_code == 0, done.output
    command = f"export {checkpoint} --data folder:{wide} --engine onnx --precision fp32 --force --out {bundle} --json"
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    stored = json.loads((bundle / "manifest.json").read_text())["input"]
    assert (stored["height"], stored["width"], stored["crop"], stored["crop_fraction"]) == (24, 40, "center", 0.875)
    image = cv2.imread(str(next((wide / "test").glob("red/*.png"))))[..., ::-1]
    spec = InputSpec(24, 40, crop=Crop(fraction=0.875))
    with open_model(bundle) as model:
        np.testing.assert_array_equal(model.input.prepare(image), spec.prepare(image))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--size 24x", "height x width such as 160x224; got '24x'"),
        ("--size 24x40x3", "height x width such as 160x224; got '24x40x3'"),
        ("--size 8x40", "16 to 1024 pixels, or height and width; got 8x40"),
        ("--size x", "height x width such as 160x224; got 'x'"),
        ("--crop squash --crop-fraction 0.5", "squash takes the whole image"),
        ("--crop-fraction 0", "0.1 to 1, such as 0.875"),
        ("--crop middle", "'middle' is not one of"),
    ],
)
def test_a_size_or_crop_that_is_none_is_one_line(options: str, words: str, wide: Path, tmp_path: Path) -> None:
    command = f"train --data folder:{wide} --arch resnet8 --out {tmp_path / 'x.safetensors'} {options}"
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_signs_are_drawn_as_squares() -> None:
    with pytest.raises(allweather.UsageError, match=r"signs are drawn as squares; got --size 24x40"):
        trainers.load_dataset("signs", (24, 40))
