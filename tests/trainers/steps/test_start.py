"""What the steps start from: checkpoints, their files, and trained modules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.steps.start import checkpoint_of

if TYPE_CHECKING:
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.data.dataset import Dataset


@pytest.mark.slow
def test_a_checkpoint_its_file_and_its_network_are_the_same_classifier(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    images = dataset.test.images[:4].permute(0, 3, 1, 2) / 255
    network = checkpoint.classifier().network
    starts = [checkpoint, tmp_path / "c.safetensors", str(tmp_path / "c.safetensors"), network]
    with torch.no_grad():
        outputs = [checkpoint_of(start, dataset).classifier()(images) for start in starts]
    assert all(torch.equal(output, outputs[0]) for output in outputs)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("timm:resnet18d", "starts from a trained classifier: .* trainers.train trains an architecture"),
        (3, "a checkpoint is named by its path"),
        (nn.Identity(), r"returns logits \[2, 3\]"),
    ],
)
def test_what_is_no_trained_classifier_is_told(start: object, words: str, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=words):
        checkpoint_of(start, dataset)  # type: ignore[arg-type]
