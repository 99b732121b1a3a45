"""What a folder holds is taken rightly or said: splits by other names, hidden names, classes without images."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from folder_data import counts, empty, notes, paint, read

from allweather.runtimes.errors import DataError
from allweather.trainers.data.registry import dataset_classes, inspect_dataset, open_dataset


def test_a_clean_folder_says_nothing(root: Path) -> None:
    assert read(root).notes == ()
    assert inspect_dataset(f"folder:{root}").problems == ()


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", ".git", "$RECYCLE.BIN"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_hidden_folder_is_neither_a_class_nor_a_source_of_images(root: Path, split: str, name: str) -> None:
    paint(root / split / name, 2, seed=9)
    paint(root / split / "aa" / name, 2, seed=10)
    shutil.copy(root / "train/aa/000.png", root / split / "aa/._000.png")
    dataset = read(root)
    assert dataset.classes == dataset_classes(f"folder:{root}") == ("aa", "bb")
    assert counts(dataset) == [[12, 12], [4, 4], [4, 4]]
    assert f"{split}: hidden files and folders are left out" in "\n".join(dataset.notes)
    assert name in "\n".join(dataset.notes)


@pytest.mark.parametrize("name", ["valid", "validation", "dev", "Valid", "VAL"])
def test_val_is_known_by_its_other_names(root: Path, name: str) -> None:
    expected = read(root)
    (root / "val").rename(root / name)
    dataset = read(root)
    assert torch.equal(dataset.val.images, expected.val.images)
    assert len(dataset.train) == 24
    assert f"the folder {name} is used as val" in dataset.notes


def test_train_and_test_are_known_by_their_other_names(root: Path) -> None:
    (root / "train").rename(root / "training")
    (root / "test").rename(root / "testing")
    assert counts(read(root)) == [[12, 12], [4, 4], [4, 4]]
    assert "the folder testing is used as test" in notes(root)


def test_two_folders_that_could_be_one_split_are_refused(root: Path) -> None:
    shutil.copytree(root / "val", root / "valid")
    with pytest.raises(DataError, match="has val and valid, and each could be the val split; keep one"):
        read(root)


def test_folders_that_were_not_understood_are_named(root: Path) -> None:
    (root / "val").rename(root / "holdout")
    assert "the folders holdout beside train are no split" in notes(root)
    shutil.move(root / "train", root / "learn")
    with pytest.raises(DataError, match=r"no folder .*train; .* holds only the folders holdout, learn, test"):
        read(root)


def test_a_folder_of_test_images_alone_is_evaluated_as_the_message_says(root: Path) -> None:
    shutil.rmtree(root / "val")
    shutil.rmtree(root / "train")
    with pytest.raises(DataError, match=r"to evaluate alone, make it a link: ln -s test .*train$"):
        read(root)
    (root / "train").symlink_to("test")
    dataset = read(root)
    assert len(dataset.test) == len(dataset.train) + len(dataset.val)


def test_the_folder_above_the_data_set_is_said(root: Path) -> None:
    with pytest.raises(DataError, match=r"holds only the folders data: name .*data instead"):
        read(root.parent)


@pytest.mark.parametrize(
    ("name", "letter"), [("caf\udce9", "U\\+DCE9"), ("a\x1b[31m", "U\\+001B"), ("two\nlines", "U\\+000A")]
)
def test_a_class_whose_name_cannot_be_stored_or_shown_is_refused(root: Path, name: str, letter: str) -> None:
    (root / "train/bb").rename(root / "train" / name)
    with pytest.raises(DataError, match=f"class folder .* holds {letter}, .*; rename it"):
        read(root)
    assert len(inspect_dataset(f"folder:{root}").problems) == 3  # val and test have the class of the old name


def test_images_without_a_class_are_said(root: Path) -> None:
    for path in (root / "test").glob("*/*.png"):
        path.rename(root / "test" / f"{path.parent.name}-{path.name}")
    shutil.rmtree(root / "test/aa")
    shutil.rmtree(root / "test/bb")
    assert "test: 8 images are not in a folder of a class" in notes(root)
    assert "the folder test holds no image that can be used: val is used instead" in notes(root)


def other_kind(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_suffix(".heic"))


def hidden_only(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_name(f".{path.name}"))


def damaged(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty, "no images in .*bb, so its class cannot be learned: it is empty; add images"),
        (other_kind, r"no images in .*bb, .*: it holds 12 files of other kinds \(.heic 12\)"),
        (hidden_only, "no images in .*bb, .*: it holds only hidden files"),
        (
            damaged,
            "images of the class 'bb' in train can be used, .*; 000.png: it is damaged, .*remove or replace it",
        ),
    ],
)
def test_a_class_without_images_is_refused_and_why(root: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(root / "train/bb")
    with pytest.raises(DataError, match=message):
        read(root)
    assert len(inspect_dataset(f"folder:{root}").problems) == 1


def test_a_split_without_usable_images_says_why(root: Path) -> None:
    for path in (root / "test").rglob("*.png"):
        cv2.imwrite(str(path), np.full((20, 24), 3000, np.uint16))
    with pytest.raises(
        DataError, match=r"none of the 8 files in .*test can be read, such as 000.png: it stores 16 bits"
    ):
        read(root)


def test_of_many_damaged_files_the_first_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    paint(root / "train/aa/more", 20)
    damaged(root / "train/aa/more")
    assert "train: 20 of 44 images could not be read" in notes(root)
    assert caplog.text.count("is left out") == 10
    assert "10 more files cannot be read as images" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder: a folder without permission was not checked")
def test_a_folder_that_may_not_be_read_is_named(root: Path) -> None:
    (root / "train/bb").chmod(0)
    try:
        with pytest.raises(DataError, match=r"bb cannot be read \(Permission denied\)"):
            read(root)
    finally:
        (root / "train/bb").chmod(0o755)


def test_a_folder_that_cannot_be_read_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "train/bb/more").mkdir()
    scan = os.scandir

    def refuse(path: Path) -> object:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "bb/more cannot be read (Permission denied) and is left out" in notes(root)
    empty(root / "train/aa")
    (root / "train/aa/more").mkdir()
    with pytest.raises(DataError, match=r"no images in .*aa, .*aa/more cannot be read \(Permission denied\)"):
        read(root)


def test_images_behind_links_are_found_once(root: Path, tmp_path: Path) -> None:
    (root / "train/bb").rename(tmp_path / "elsewhere")
    (root / "train/bb").mkdir()
    (root / "train/bb/batch1").symlink_to(tmp_path / "elsewhere")
    (root / "train/bb/batch1/back").symlink_to(root / "train/bb")  # a link that leads in a circle
    assert counts(read(root))[0] == [12, 12]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".gif", ".avif", ".JPG"])
def test_less_usual_suffixes_are_images(root: Path, suffix: str) -> None:
    empty(root / "train/bb")
    paint(root / "train/bb", 12, suffix.lower())
    for path in list((root / "train/bb").iterdir()):
        path.rename(path.with_suffix(suffix))
    assert counts(read(root))[0] == [12, 12]


def test_files_of_other_kinds_are_counted(root: Path) -> None:
    (root / "train/aa/notes.txt").touch()
    (root / "train/aa/raw").touch()
    assert "train: not used are 2 files of other kinds (.txt 1, without a suffix 1)" in notes(root)


def test_classes_in_two_forms_of_unicode(root: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Ärger") for form in ("NFC", "NFD"))
    (root / "train/bb").rename(root / "train" / composed)
    (root / "val/bb").rename(root / "val" / apart)
    (root / "test/bb").rename(root / "test" / apart)
    assert counts(read(root)) == [[12, 12], [4, 4], [4, 4]]
    paint(root / "train" / apart, 3)
    with pytest.raises(DataError, match=r"two folders called 'Ärger', .* merge them"):
        read(root)


def test_classes_that_differ_by_case(root: Path) -> None:
    paint(root / "train/Aa", 12, seed=5)
    assert "the classes 'Aa' and 'aa' differ only by case" in notes(root)
    (root / "train/Aa").rename(root / "train/cc")
    (root / "val/bb").rename(root / "val/BB")
    with pytest.raises(DataError, match="has the class 'BB', which train does not have; train has 'bb': rename it"):
        read(root)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes with names")
def test_a_pipe_or_device_is_not_read(root: Path) -> None:
    os.mkfifo(root / "train/aa/pipe.png")
    (root / "train/bb/zero.png").symlink_to("/dev/zero")
    dataset = read(root)
    assert counts(dataset) == [[12, 12], [4, 4], [4, 4]]
    assert "2 files of other kinds (pipes, sockets or devices 2)" in "\n".join(dataset.notes)


def test_a_link_to_itself_is_an_image_that_cannot_be_read(root: Path) -> None:
    (root / "train/aa/loop.png").symlink_to("loop.png")
    (root / "train/loop").symlink_to("loop")
    (root / "loop").symlink_to("loop")
    dataset = read(root)
    assert counts(dataset) == [[12, 12], [4, 4], [4, 4]]
    assert "1 of 25 images could not be read and are left out, such as aa/loop.png" in "\n".join(dataset.notes)


def test_a_root_of_class_folders_is_divided_and_that_is_said(root: Path) -> None:
    (root / "train/loose.png").touch()
    dataset, plain = read(root), root / "train"
    named = open_dataset(f"folder:{plain}", 16)
    assert named.classes == dataset_classes(f"folder:{plain}") == ("aa", "bb")
    assert counts(named) == [[10, 10], [1, 1], [1, 1]]
    everything = torch.cat([named.train.images, named.val.images, named.test.images])
    assert sorted(image.numpy().tobytes() for image in everything) == sorted(
        image.numpy().tobytes() for image in dataset.train.images
    )
    assert named.notes == (
        "train: 1 images are not in a folder of a class, so they are not used; put them into train/CLASS",
        "train has folders of classes and none of splits: 2 images of train are held out as val, a tenth of each class "
        "(seed 20)",
        "train has folders of classes and none of splits: 2 images of train are held out as test, a tenth of each "
        "class (seed 20)",
    )
    assert inspect_dataset(f"folder:{plain}").splits[0].images == {"aa": 12, "bb": 12}


def test_classes_of_a_plain_root_may_have_folders_of_their_own(root: Path) -> None:
    for name in ("aa", "bb"):
        shutil.move(root / "train" / name, root / "more" / name / name)  # only folders in the folder of a class
    assert open_dataset(f"folder:{root / 'more'}", 16).classes == ("aa", "bb")


def test_splits_of_unknown_names_are_not_taken_for_classes(root: Path) -> None:
    shutil.rmtree(root / "val")
    for split in ("train", "test"):
        (root / split).rename(root / f"{split}_set")
    for call in (read, lambda root: dataset_classes(f"folder:{root}")):
        with pytest.raises(
            DataError, match=r"test_set and train_set in .* of the same names \(aa, bb\): if .* are splits"
        ):
            call(root)


def test_a_root_without_images_is_no_root_of_classes(tmp_path: Path) -> None:
    (tmp_path / "src/one").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    with pytest.raises(DataError, match=r"no folder .*train; .*ROOT/CLASS; .* holds only the folders docs, src"):
        read(tmp_path)
