from __future__ import annotations

from pathlib import Path

import pytest
from folder_data import paint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of twelve images in train, four in val and in test."""
    for seed, (split, count) in enumerate({"train": 12, "val": 4, "test": 4}.items()):
        for name in ("aa", "bb"):
            paint(tmp_path / "data" / split / name, count, seed=seed)
    return tmp_path / "data"
