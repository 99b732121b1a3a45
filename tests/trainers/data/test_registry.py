from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system import memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset


def test_a_folder_becomes_three_splits(folder: Path) -> None:
    data = open_dataset(f"folder:{folder}", 24)
    assert data.classes == ("blue", "green", "red")
    assert [len(split) for split in (data.train, data.val, data.test)] == [120, 24, 24]
    assert data.train.images.shape == (120, 24, 24, 3)
    assert data.train.images.dtype == torch.uint8
    means = [data.train.images[data.train.labels == label].float().mean((0, 1, 2)) for label in range(3)]
    assert [int(mean.argmax()) for mean in means] == [2, 1, 0]  # RGB, not BGR
    assert data.notes == ()


def test_a_missing_val_is_split_off_and_said(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "train", tmp_path / "train")
    data = open_dataset(f"folder:{tmp_path}", 16)
    assert (len(data.train), len(data.val)) == (108, 12)
    assert any("12 pictures of train are held out as val" in note for note in data.notes)
    assert any("no test folder" in note for note in data.notes)
    again = open_dataset(f"folder:{tmp_path}", 16)
    assert torch.equal(data.val.images, again.val.images)


def test_a_corrupt_picture_is_named_left_out_and_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for name, content in (("000.png", b"no picture"), ("001.png", b"")):
        (tmp_path / "data/train/green" / name).write_bytes(content)
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 118
    assert (data.train.labels == 1).sum() == 38
    assert "train/green/000.png is no readable picture" in caplog.text.replace("\\", "/")
    assert data.notes == ("train: 2 of 120 pictures could not be read and are left out",)


def test_a_link_to_nothing_is_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data/train/green/link.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "data/train/green/folder.png").mkdir()
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 120
    assert data.notes == ("train: 1 of 121 pictures could not be read and are left out",)


def test_large_sets_live_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = open_dataset(f"folder:{folder}", 16)
    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    assert isinstance(memory.allocate((4, 16, 16, 3)), np.memmap)
    data = open_dataset(f"folder:{folder}", 16)
    assert torch.equal(data.train.images, expected.train.images)
    assert torch.equal(data.subset(0.5, 0).train.images, expected.subset(0.5, 0).train.images)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("folder:/nowhere", DataError, "no folder /nowhere/train; a data set is ROOT/train/CLASS"),
        ("cifar10:/nowhere", DataError, "no cifar10 in /nowhere, .* add --download"),
        ("cifar100:/nowhere", DataError, "no cifar100 in /nowhere"),
        ("mnist", UsageError, "unknown data set 'mnist'; write signs, cifar10:ROOT"),
        ("cifar10", UsageError, "unknown data set 'cifar10'"),
        ("signs:here", UsageError, "unknown data set"),
    ],
)
def test_what_cannot_be_opened_is_named(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_dataset(name)


def test_folders_that_cannot_be_learned_from(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="at least two classes; it has 0"):
        open_dataset(f"folder:{tmp_path}", 16)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir()
    with pytest.raises(DataError, match="no pictures in"):
        open_dataset(f"folder:{tmp_path}", 16)
    shutil.copytree(folder / "train", tmp_path / "other/train")
    (tmp_path / "other/val/purple").mkdir(parents=True)
    with pytest.raises(DataError, match="has the class 'purple', which train has not"):
        open_dataset(f"folder:{tmp_path / 'other'}", 16)
    with pytest.raises(UsageError, match="--size is a side of 16 to 1024 pixels; got 5"):
        open_dataset(f"folder:{folder}", 5)


def test_cifar10(cifar10: Path) -> None:
    data = open_dataset(f"cifar10:{cifar10}")
    assert data.classes[0] == "airplane"
    assert [len(split) for split in (data.train, data.val, data.test)] == [45_000, 5_000, 10_000]
    assert data.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert "5000 of 50000 training pictures are held out as val" in data.notes[0]
    seen = {image.numpy().tobytes() for image in data.train.images[::50]}
    assert not any(image.numpy().tobytes() in seen for image in data.val.images)
    assert data.fingerprint() == open_dataset(f"cifar10:{cifar10}").fingerprint()


def test_signs_on_request_of_any_size() -> None:
    data = open_dataset("signs", 48, count=64)
    assert data.train.images.shape == (64, 48, 48, 3)
    assert len(data.classes) >= 12
    assert not data.hflip


def test_a_fraction_keeps_classes_even_and_a_seed_repeats_it(dataset: Dataset) -> None:
    some, again, other = (dataset.subset(0.25, seed) for seed in (1, 1, 2))
    assert some.train.labels.bincount().tolist() == [10, 10, 10]
    assert torch.equal(some.train.images, again.train.images)
    assert not torch.equal(some.train.images, other.train.images)
    assert some.val is dataset.val
    assert some.notes[-1].endswith("30 of 120 training pictures are used")
    assert dataset.subset(1.0, 0) is dataset
    assert len(dataset.subset(1e-9, 0).train) == 3


def test_wrong_labels_are_as_many_as_asked_for(dataset: Dataset) -> None:
    noisy, all_random = dataset.with_label_noise(0.5, 3), dataset.with_label_noise(1.0, 3)
    changed = (noisy.train.labels != dataset.train.labels).float().mean()
    assert 0.2 < changed <= 0.5  # some of the random ones are right
    assert 0.5 < (all_random.train.labels != dataset.train.labels).float().mean() < 0.8
    assert torch.equal(noisy.train.labels, dataset.with_label_noise(0.5, 3).train.labels)
    assert noisy.train.images is dataset.train.images
    assert noisy.fingerprint() != dataset.fingerprint()
    assert dataset.with_label_noise(0.0, 0) is dataset


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_that_are_none_are_refused(dataset: Dataset, share: float) -> None:
    with pytest.raises(UsageError, match="got"):
        dataset.subset(share, 0)
    with pytest.raises(UsageError, match="got"):
        dataset.with_label_noise(share, 0)
