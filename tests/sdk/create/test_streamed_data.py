"""What create finds out about streamed data: whether it has changed, and which test images it evaluates."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jpeg_data import in_both_forms, write_jpegs

from allweather.create.digests import data_digest
from allweather.runtimes.crop import Crop
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading


def test_stages_are_made_anew_when_a_file_changes(tmp_path: Path) -> None:
    root = write_jpegs(tmp_path, {"train": 4, "val": 3, "test": 3})
    digests = [data_digest(in_both_forms(root)[1]) for _ in range(2)]
    assert digests[0] == digests[1]
    os.utime(root / "train" / "red" / "001.jpg", (1, 1))
    assert data_digest(in_both_forms(root)[1]) != digests[0]


def test_stages_are_made_anew_when_images_are_prepared_in_another_way(tmp_path: Path) -> None:
    name = f"folder:{write_jpegs(tmp_path, {'train': 4, 'val': 3, 'test': 3})}"
    ways = [(32, Crop()), (40, Crop()), (32, Crop("squash")), (32, Crop("center", 0.875))]
    streamed = Reading(stream=True, workers=0)
    digests = {data_digest(open_dataset(name, size, crop=crop, reading=streamed)) for size, crop in ways}
    assert len(digests) == len(ways)


@pytest.mark.slow
def test_damaged_test_images_are_not_evaluated(tmp_path: Path) -> None:
    in_memory, streamed = in_both_forms(write_jpegs(tmp_path, {"train": 4, "val": 3, "test": 24}))
    whole = [data.with_test_images(100, 0).test for data in (in_memory, streamed)]
    assert whole[0].labels.tolist() == whole[1].labels.tolist()
    assert len(whole[1]) == 71
    few = streamed.with_test_images(70, 0).test
    assert 69 <= len(few) <= 70  # whether the damaged one was drawn
    assert sum(len(batch) for batch in few.batches(16)) == len(few)
