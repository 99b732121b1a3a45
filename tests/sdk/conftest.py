"""What tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from allweather.trainers.checkpoint import checkpoint as checkpoints
from allweather.trainers.checkpoint.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def plain(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ResNet-20 that has learned the colors, in a file."""
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    checkpoints.save(path, checkpoint)
    return path
