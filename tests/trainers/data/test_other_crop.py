"""Data that was cropped in another way than a model crops its images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import nn

from allweather.runtimes.crop import Crop
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from tests.fixtures.trained_models import paint_folder

CENTER = Crop("center", 0.875)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_folder(tmp_path_factory.mktemp("other-crop"), {"train": 2, "val": 2, "test": 2}, side=40)


def checkpoint(dataset: Dataset, crop: Crop) -> Checkpoint:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(dataset.classes)))
    return Checkpoint.of(network, dataset.classes, dataclasses.replace(InputSpec(32, 32), crop=crop))


def test_a_checkpoint_warns_of_data_that_was_cropped_otherwise(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = open_dataset(f"folder:{root}", 32)
    checkpoint(dataset, CENTER).adapt(dataset)
    (line,) = caplog.messages
    assert "the checkpoint crops images to center 0.875, and folder:" in line
    assert "was opened with center 1" in line
    assert line.endswith("open it with crop=allweather.Crop('center', 0.875)")


@pytest.mark.parametrize("crop", [CENTER, Crop("center", 0.8752)])
def test_nothing_is_said_of_the_same_crop(root: Path, caplog: pytest.LogCaptureFixture, crop: Crop) -> None:
    dataset = open_dataset(f"folder:{root}", 32, crop=CENTER)
    checkpoint(dataset, crop).adapt(dataset)
    assert not caplog.messages


def test_nothing_is_said_of_images_that_are_never_cropped(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Drawn images have no inventory."""
    dataset = dataclasses.replace(open_dataset(f"folder:{root}", 32), inventory=None)
    checkpoint(dataset, Crop("squash")).adapt(dataset)
    assert not caplog.messages
