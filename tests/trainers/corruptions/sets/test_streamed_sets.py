"""Corrupted sets of streamed images are those of the same images in memory, also where one cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_python
from jpeg_data import CLASSES, in_both_forms, write_jpegs

from allweather.runtimes.errors import DataError
from allweather.trainers.choices import SetLayout
from allweather.trainers.corruptions.sets.generated import GeneratedSet
from allweather.trainers.corruptions.sets.write import write_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import Split

NAMES = ("gaussian_noise", "fog")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    return in_both_forms(write_jpegs(tmp_path_factory.mktemp("jpegs"), {"train": 3, "val": 3, "test": 24}))


@pytest.mark.slow
def test_generated_images_are_the_same(both: tuple[Dataset, Dataset]) -> None:
    in_memory, streamed = (GeneratedSet(data.test.readable(), 4, NAMES) for data in both)
    assert np.array_equal(streamed.labels, in_memory.labels)
    assert len(streamed.labels) == 71
    for name in NAMES:
        expected = np.concatenate(list(in_memory.batches(name, 3, 71)))
        assert np.array_equal(np.concatenate(list(streamed.batches(name, 3, 16))), expected)
        for index in (0, 49, 70):
            assert np.array_equal(streamed.image(name, 3, index), expected[index])


@pytest.mark.parametrize("layout", ["npy", "folders"])
@pytest.mark.slow
def test_written_sets_have_the_same_files(both: tuple[Dataset, Dataset], tmp_path: Path, layout: SetLayout) -> None:
    for name, data in zip(("in-memory", "streamed"), both, strict=True):
        write_corrupted_set(
            data.test, CLASSES, tmp_path / name, data="jpegs", layout=layout, corruptions=NAMES, processes=1
        )
    expected, written = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "in-memory", tmp_path / "streamed")
    )
    assert len(expected) == (4 if layout == "npy" else 71 * 5 * len(NAMES) + 1)
    assert written == expected


def test_images_that_are_too_small_are_refused_before_any_is_read(tmp_path: Path) -> None:
    small = Split(torch.zeros(2, 8, 20, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match="need images of 16 x 16 pixels or more; got 8 x 20"):
        GeneratedSet(small, 0)
    with pytest.raises(DataError, match="need images of 16 x 16 pixels or more; got 8 x 20"):
        write_corrupted_set(small, ("one",), tmp_path / "set", data="small")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_worker_processes_do_without_torch() -> None:
    done = run_python(f"import sys, {write_corrupted_set.__module__}; print('torch' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
