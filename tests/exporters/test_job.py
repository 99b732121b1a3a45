"""The images of the parity gate: an engine that is only worse on bright or on dark ones is rejected."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from allweather.exporters.calibration import brighten, calibration_set, darken
from allweather.exporters.checkpoint_jobs import TorchSource, export_jobs
from allweather.exporters.job import ExportJob
from allweather.exporters.parity import ModelOutputs, check_parity
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits


class LeftOrRight(nn.Module):
    """Tells which half of an image is brighter."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([half.mean((1, 2, 3)) for half in x.chunk(2, 3)], 1)


class ClippedEngine:
    """Runs the torch model as an engine whose ranges clip what is darker or brighter than two levels."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def infer(self, images: Image) -> Floats:
        clipped = np.clip(images, self.low, self.high)
        result: Floats = logits(LeftOrRight(), torch.from_numpy(clipped)).numpy()
        return result

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("low", "high", "kind"), [(0, 140, "bright"), (70, 255, "dark"), (0, 255, "")])
def test_an_engine_that_clips_only_bright_or_only_dark_images_is_rejected(low: int, high: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    clean, labels = rng.integers(80, 100, (200, 8, 8, 3), np.uint8), rng.integers(0, 2, 200)
    for half in (0, 1):
        clean[labels == half, :, 4 * half : 4 * half + 4] += 30
    kinds = (clean, clean, brighten(clean[::2]), darken(clean[1::2]))
    right = ModelOutputs(*(ClippedEngine(0, 255).infer(images) for images in kinds))
    job = ExportJob(
        "classifier", TorchSource(LeftOrRight(), InputSpec(8, 8)), InputSpec(8, 8), *kinds, labels, right, None
    )
    reason = check_parity(job.run(ClippedEngine(low, high)), job.reference, job.labels, "int8").reason
    assert (f"points of accuracy on {kind} images" in reason) if kind else reason == ""


@pytest.mark.slow
def test_the_gate_gets_bright_and_dark_images(
    checkpoint: Checkpoint, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        job = next(export_jobs(checkpoint, dataset, int8=False))
    assert f"the parity gate has {len(job.clean)} validation images, which decide nothing" in caplog.text
    assert job.bright is not None
    assert job.dark is not None
    assert job.reference.bright is not None
    assert len(job.bright) + len(job.dark) == len(job.clean)
    assert job.bright.mean() > job.clean.mean() > job.dark.mean()


def test_bright_and_dark_images_keep_their_order_and_the_originals() -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 1, 256, 3)
    before = ramp.copy()
    bright, dark = brighten(ramp), darken(ramp)
    for changed in (bright, dark):
        assert (np.diff(changed[0, 0, :, 0].astype(int)) >= 0).all()
        assert (changed.shape, changed.dtype) == (ramp.shape, np.uint8)
    assert (bright.min(), bright.max(), dark.min(), dark.max()) == (102, 255, 0, 102)
    assert (ramp == before).all()


@pytest.mark.slow
def test_few_images_for_calibration_are_said(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        calibration_set(dataset)
    assert "INT8 is calibrated on 120 training images" in caplog.text
    caplog.clear()
    many = dataclasses.replace(dataset, train=dataset.train.take(torch.arange(320) % len(dataset.train)))
    with caplog.at_level(logging.WARNING):
        calibration_set(many)
    assert not caplog.text
