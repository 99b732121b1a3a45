"""The inventory counts all that a data set holds, and says what should be known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from folder_data import counts, empty, notes, paint, read

from allweather.trainers.data.registry import inspect_dataset, open_dataset


def test_a_split_without_some_classes_is_said(root: Path) -> None:
    shutil.rmtree(root / "val/bb")
    empty(root / "test/aa")
    assert "val: no images of bb; nothing is measured for them" in notes(root)
    assert "test: no images of aa" in notes(root)


@pytest.mark.slow
def test_thin_classes_are_said_and_the_held_out_split_has_all_classes(root: Path) -> None:
    shutil.rmtree(root / "val")
    for name, count in {"aa": 200, "bb": 6, "cc": 1}.items():
        shutil.rmtree(root / "train" / name, ignore_errors=True)
        paint(root / "train" / name, count, seed=7)
    dataset = read(root)
    assert counts(dataset)[:2] == [[180, 5, 1], [20, 1, 0]]
    assert "train: few images of bb (6), cc (1)" in notes(root)
    assert "val has no image of cc: train has only one" in notes(root)
    assert dataset.inventory
    assert dataset.inventory.thin_classes == {"bb": 6, "cc": 1}


def test_images_that_are_in_train_and_test_are_found(root: Path) -> None:
    shutil.copy(root / "train/aa/003.png", root / "test/bb/copy.png")
    shutil.copy(root / "train/aa/004.png", root / "val/aa/copy.png")
    shutil.copy(root / "train/aa/005.png", root / "train/aa/twin.png")  # in one class, which does no harm
    inventory = read(root).inventory
    assert inventory
    assert inventory.duplicates == {"train/val": 1, "train/test": 1}
    assert "1 of 9 images of test are in train, too, such as test/bb/copy.png" in notes(root)


def test_an_image_in_two_classes_is_said_with_both_paths(root: Path) -> None:
    assert "two classes" not in notes(root)
    shutil.copy(root / "train/aa/005.png", root / "train/bb/twin.png")
    assert (
        "train: 1 image is in two classes or more, such as train/aa/005.png and train/bb/twin.png; only one "
        "of the labels can be right: remove the other file" in notes(root)
    )


def test_a_link_to_the_folder_above_brings_wrong_labels_and_is_said(root: Path) -> None:
    (root / "train/aa/loop").symlink_to("..")
    assert "train: 12 images are in two classes or more" in notes(root)
    assert "train/aa/loop/bb/000.png and train/bb/000.png" in notes(root)


def test_no_copy_of_a_held_out_image_is_learned_from(root: Path) -> None:
    shutil.rmtree(root / "val")
    for path in [*root.glob("train/*/*.png")]:  # all but four images of each class have copies
        if int(path.stem) > 3:
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
    dataset = read(root)
    learned = {image.numpy().tobytes() for image in dataset.train.images}
    assert len(dataset.val) == 4
    assert not learned & {image.numpy().tobytes() for image in dataset.val.images}


def test_the_inventory_counts_everything(root: Path) -> None:
    (root / "train/aa/notes.txt").touch()
    (root / "train/aa/000.png").write_bytes(b"no image")
    (root / "train/.git").mkdir()
    paint(root / "train/aa", 0)
    paint(root / "train/aa/jpegs", 3, ".jpg")
    found = inspect_dataset(f"folder:{root}")
    assert found == read(root).inventory
    train = found.splits[0]
    assert train.images == {"aa": 14, "bb": 12}
    assert train.kinds == {".png": 24, ".jpg": 3}
    assert train.other_files == {".txt": 1}
    assert (train.hidden, train.hidden_names) == (1, (".git",))
    assert (train.unreadable, train.unreadable_paths) == (1, ("aa/000.png",))


def test_data_that_is_not_in_folders_is_counted_without_drawing_it() -> None:
    found = inspect_dataset("signs")
    assert [sum(split.images.values()) for split in found.splits] == [12_000, 2_000, 4_000]


@pytest.mark.slow
def test_what_was_drawn_is_counted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("signs", "signs.dataset"):
        monkeypatch.setattr(f"allweather.trainers.data.{module}.SPLITS", {"train": 64, "val": 32, "test": 48})
    drawn = open_dataset("signs", 16, num_train=16).inventory
    assert drawn
    assert set(drawn.splits[0].images.values()) == {1}
    assert drawn.splits[1:] == inspect_dataset("signs").splits[1:]
