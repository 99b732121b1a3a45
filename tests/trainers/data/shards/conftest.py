"""Shards that were made of a folder of JPEGs."""

from __future__ import annotations

from pathlib import Path

import pytest
from shard_data import paint_folder, write_split

COUNTS = {"train": 40, "val": 4, "test": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "folder", COUNTS)


@pytest.fixture
def shards(tmp_path: Path, folder: Path) -> Path:
    """Three shards of train and one of val and test each, with names for labels."""
    for split in COUNTS:
        write_split(tmp_path / "shards", folder, split, 3 if split == "train" else 1)
    return tmp_path / "shards"
