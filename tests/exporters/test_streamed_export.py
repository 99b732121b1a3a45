"""Exports with streamed images use the pixels that they would use in memory; damaged images are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from jpeg_data import CLASSES, DAMAGED, SIDE, in_both_forms, write_jpegs
from torch import nn

from allweather.exporters.calibration import calibration_set
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.compilation import choose_golden_frames
from allweather.exporters.job import parity_images
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import DataError
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """Data whose test split has a damaged image, which no export reads."""
    return in_both_forms(write_jpegs(tmp_path_factory.mktemp("jpegs"), {"train": 24, "val": 24, "test": 3}))


@pytest.mark.slow
def test_calibration_parity_and_golden_frames_have_the_same_pixels(both: tuple[Dataset, Dataset]) -> None:
    expected, calibration = (calibration_set(data) for data in both)
    assert calibration.provenance == expected.provenance
    assert np.array_equal(calibration.images, expected.images)
    in_memory, streamed = (parity_images(data.val) for data in both)
    assert torch.equal(streamed.images, in_memory.images)
    assert torch.equal(streamed.labels, in_memory.labels)
    frames = [choose_golden_frames(data.val) for data in both]
    assert np.array_equal(*frames)


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.slow
def test_damaged_images_are_left_out_with_their_labels(
    tmp_path: Path, form: int, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_jpegs(tmp_path, {"train": 24, "val": 24, "test": 3}, damaged="train")
    path = root / "val" / DAMAGED
    path.write_bytes(path.read_bytes()[:200])
    data = in_both_forms(root)[form]
    provenance = calibration_set(data).provenance
    assert (provenance.images, provenance.corrupted) == (71, 35)
    images = parity_images(data.val)
    assert images.images.shape == (71, SIDE, SIDE, 3)
    assert images.labels.tolist() == [0] * 24 + [1] * 24 + [2] * 23
    assert "the parity gate has 71 validation images" in caplog.text


def test_too_few_images_that_can_be_read_are_refused(tmp_path: Path) -> None:
    data = in_both_forms(write_jpegs(tmp_path, {"train": 11, "val": 3, "test": 3}, damaged="train"))[1]
    few = data.train.take(torch.arange(1, 33))  # 32 of them, of which one is damaged
    with pytest.raises(DataError, match=r"at least 32 training images for calibration; .* has 31"):
        calibration_set(Dataset("jpegs", data.classes, few, data.val, data.test, hflip=True))


@pytest.mark.slow
def test_a_bundle_of_streamed_data_is_that_of_data_in_memory(both: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(32, 3))
    checkpoint = Checkpoint.of(network, CLASSES, SIDE, hflip=True, name="small")
    manifests = []
    for name, data in zip(("in-memory.aw", "streamed.aw"), both, strict=True):
        export(checkpoint, data, tmp_path / name, ExportOptions(["onnx"], ["fp32", "int8"], force=True))
        manifests.append(Bundle.open(tmp_path / name).manifest)
    expected, manifest = manifests
    # by precision, as the models are in the order of their measured latency
    assert {each.precision: each.parity for each in manifest.models} == {
        each.precision: each.parity for each in expected.models
    }
    assert manifest.calibration == expected.calibration
    assert {name: sha for name, sha in manifest.files.items() if name.endswith((".onnx", ".npy"))} == {
        name: sha for name, sha in expected.files.items() if name.endswith((".onnx", ".npy"))
    }
