from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from folder_data import counts
from PIL import Image as Pillow

from allweather.runtimes.cameras.image_files.decode import MAX_IMAGE_BYTES
from allweather.runtimes.cameras.images import FolderCapture
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system import memory
from allweather.trainers.data.registry import inspect_dataset, open_dataset
from allweather.trainers.data.streamed.reading import Reading


def test_a_folder_becomes_three_splits(folder: Path) -> None:
    data = open_dataset(f"folder:{folder}", 24)
    assert data.classes == ("blue", "green", "red")
    assert [len(split) for split in (data.train, data.val, data.test)] == [120, 24, 24]
    assert data.train.images.shape == (120, 24, 24, 3)
    assert data.train.images.dtype == torch.uint8
    means = [data.train.images[data.train.labels == label].float().mean((0, 1, 2)) for label in range(3)]
    assert [int(mean.argmax()) for mean in means] == [2, 1, 0]  # RGB, not BGR
    assert data.notes == ()


@pytest.mark.slow
def test_missing_val_and_test_are_split_off_and_noted(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "train", tmp_path / "train")
    data = open_dataset(f"folder:{tmp_path}", 16)
    assert counts(data) == [[32, 32, 32], [4, 4, 4], [4, 4, 4]]
    assert data.notes == (
        "there is no val folder: 12 images of train are held out as val, a tenth of each class (seed 20)",
        "there is no test folder: 12 images of train are held out as test, a tenth of each class (seed 20)",
    )
    assert inspect_dataset(f"folder:{tmp_path}").notes == (
        "there is no val folder: a tenth of each class of train will be held out as val",
        "there is no test folder: a tenth of each class of train will be held out as test",
    )
    again = open_dataset(f"folder:{tmp_path}", 16)
    assert torch.equal(data.val.images, again.val.images)
    shutil.copytree(folder / "test", tmp_path / "test")
    other = open_dataset(f"folder:{tmp_path}", 16)
    assert counts(other) == [[36, 36, 36], [4, 4, 4], [8, 8, 8]]
    assert torch.equal(other.val.images, data.val.images)  # whether there is a test split or not


def test_a_missing_test_is_val(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/test")
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert data.test is data.val
    assert any("no test folder: val is used instead" in note for note in data.notes)
    assert inspect_dataset(f"folder:{tmp_path / 'data'}").notes == (
        "there is no test folder: val will be used instead",
    )


@pytest.mark.slow
def test_deep_images_are_scaled_and_said(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    expected = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    for path in (tmp_path / "data/train/red").iterdir():
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), image.astype(np.uint16) * 257)
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert torch.equal(data.train.images, expected.train.images)
    assert [note for note in data.notes if note.startswith("train: 40 of 120 images have more than 8 bits a channel; ")]
    assert inspect_dataset(f"folder:{tmp_path / 'data'}") == data.inventory


def test_a_damaged_image_is_named_left_out_and_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for name, content in (("000.png", b"no image"), ("001.png", b"")):
        (tmp_path / "data/train/green" / name).write_bytes(content)
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 118
    assert (data.train.labels == 1).sum() == 38
    assert "train/green/000.png cannot be read" in caplog.text.replace("\\", "/")
    assert data.notes == (
        "train: 2 of 120 images could not be read and are left out, such as green/000.png: it is damaged, cut off or "
        "not an image; remove or replace it",
    )


def test_a_broken_link_is_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data/train/green/link.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "data/train/green/folder.png").mkdir()
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 120
    assert data.notes == (
        "train: 1 of 121 images could not be read and are left out, such as green/link.png: No such file or directory",
    )


def test_large_data_sets_live_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = open_dataset(f"folder:{folder}", 16)
    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    assert isinstance(memory.allocate((4, 16, 16, 3)), np.memmap)
    data = open_dataset(f"folder:{folder}", 16, reading=Reading(stream=False))
    assert torch.equal(data.train.images, expected.train.images)
    assert torch.equal(data.subset(0.5, 0).train.images, expected.subset(0.5, 0).train.images)


def test_folders_that_cannot_be_trained_on(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="at least two classes; it has 0"):
        open_dataset(f"folder:{tmp_path}", 16)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir()
    with pytest.raises(DataError, match="no images in"):
        open_dataset(f"folder:{tmp_path}", 16)
    shutil.copytree(folder / "train", tmp_path / "other/train")
    (tmp_path / "other/val/purple").mkdir(parents=True)
    with pytest.raises(DataError, match="has the class 'purple', which train does not have"):
        open_dataset(f"folder:{tmp_path / 'other'}", 16)


def test_a_folder_of_nothing_but_damaged_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of the 2 files in .* can be read"):
        open_dataset(f"folder:{tmp_path}", 16)


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_what_is_no_image_file_is_left_out_and_never_waited_for(
    folder: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    path = tmp_path / "data/train/red/odd.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(MAX_IMAGE_BYTES + 1)
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 120
    assert kind != "huge" or f"an image file at most {MAX_IMAGE_BYTES}" in caplog.text


def test_an_image_of_too_many_pixels_is_left_out_counted_and_told(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data/train/red/odd.pgm").write_bytes(b"P5 30000 30000 255\n" + bytes(100))
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert len(data.train) == 120
    assert "odd.pgm cannot be read as an image and is left out: it has 30000 x 30000 pixels" in caplog.text
    assert data.inventory is not None
    assert data.inventory.splits[0].unreadable_paths == ("red/odd.pgm",)
    assert any("such as red/odd.pgm: it has 30000 x 30000 pixels" in note for note in data.notes)


def test_animated_images_are_counted(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    first, second = (Pillow.new("RGB", (16, 16), color) for color in ("red", "blue"))
    for name in ("a.gif", "b.webp"):
        first.save(tmp_path / "data/train/red" / name, save_all=True, append_images=[second], duration=100)
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert "train: 2 of 122 images are animated; only the first image of each is used" in data.notes
    assert inspect_dataset(f"folder:{tmp_path / 'data'}") == data.inventory


def test_a_class_of_which_val_has_only_damaged_images_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for path in (tmp_path / "data/val/red").iterdir():
        path.write_bytes(b"damaged")
    data = open_dataset(f"folder:{tmp_path / 'data'}", 16)
    assert "val: no images of red; nothing is measured for them" in data.notes


def test_a_name_with_a_line_end_writes_no_line_of_its_own_into_a_log(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data/train/red/a\nERROR all is lost.png").write_bytes(b"no image")
    open_dataset(f"folder:{tmp_path / 'data'}", 16)
    capture = FolderCapture([tmp_path / "data/train/red/a\nERROR all is lost.png"])
    assert capture.grab()
    assert capture.retrieve() is None
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert all("a?ERROR all is lost.png" in message and "\n" not in message for message in messages)


def test_an_unknown_home_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="does not know"):
        open_dataset("folder:~no-such-user/images")


def test_images_that_are_enlarged_are_counted(folder: Path) -> None:
    (note,) = (each for each in open_dataset(f"folder:{folder}", 96).notes if "enlarged" in each)
    assert "images are smaller than 96 x 96 px and enlarged; the largest of them has" in note
    assert not [each for each in open_dataset(f"folder:{folder}", 32).notes if "enlarged" in each]
