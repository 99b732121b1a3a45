from __future__ import annotations

import re
from email.message import Message
from http.client import BadStatusLine
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import torch

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data import cifar, read_files, signs
from allweather.trainers.data.image_size import ImageSize
from allweather.trainers.data.registry import dataset_classes, open_dataset, open_dataset_of


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if an image is drawn, decoded or read."""

    def fail(*args: object, **kwargs: object) -> None:
        pytest.fail("images were made before the arguments were checked")

    monkeypatch.setattr(signs, "render_signs", fail)
    monkeypatch.setattr(read_files, "read_and_decode", fail)
    monkeypatch.setattr(cifar, "import_torchvision", fail)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("folder:/nowhere", DataError, "no folder /nowhere; .*ROOT/train/CLASS"),
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


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (URLError(OSError(-2, "Name or service not known")), r"cannot be downloaded .* not known; check the network"),
        (
            HTTPError("http://host/x", 404, "Not Found", Message(), None),
            "cannot be downloaded .*404.*; check the network",
        ),
        (BadStatusLine("?"), "cannot be downloaded .*; check the network"),
        (RuntimeError("File not found or corrupted."), "the download .* is incomplete or damaged; delete it there"),
        (TimeoutError("timed out"), "cannot read cifar10 .*timed out"),
    ],
)
def test_a_download_that_fails_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, message: str
) -> None:
    class Fails:
        base_folder = "cifar-10-batches-py"

        def __init__(self, *args: object, **settings: object) -> None:
            raise error

    monkeypatch.setattr(cifar, "import_torchvision", lambda part: SimpleNamespace(CIFAR10=Fails))
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(f"cifar10:{tmp_path}", download=True)
    assert "\n" not in str(caught.value)
    assert "urlopen" not in str(caught.value)


def test_a_path_in_another_form_is_told_its_own(folder: Path, tmp_path: Path) -> None:
    for name in ("saved/state.json", "list.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, error, message in (
        (f"{folder}", UsageError, f": folder:{folder}"),
        (f"{tmp_path}/list.csv", UsageError, f": list:{tmp_path}/list.csv"),
        (f"{tmp_path}/saved", UsageError, f": hf:{tmp_path}/saved"),
        (f"folder:{tmp_path}/list.csv", DataError, "list.csv is a file; .* a list of images is list:list.csv"),
        (f"folder:{tmp_path}/saved", DataError, "saved by the datasets library: write hf: in the place of folder:"),
        (f"list:{folder}", DataError, ": a folder is folder:ROOT"),
    ):
        for call in (open_dataset, dataset_classes):
            with pytest.raises(error, match=f"{message}$"):
                call(name)


@pytest.mark.usefixtures("no_images")
@pytest.mark.parametrize("size", [5, 15, 1025, (5, 32)])
def test_a_size_out_of_range_is_refused_before_images_are_made(folder: Path, size: ImageSize) -> None:
    text = re.escape("5x32" if isinstance(size, tuple) else str(size))
    for name in ("signs", f"folder:{folder}", "cifar10:/nowhere"):
        with pytest.raises(UsageError, match=f"--size .*16 to 1024 pixels, or height and width; got {text}"):
            open_dataset(name, size)


@pytest.mark.usefixtures("no_images")
def test_class_names_are_known_without_images(folder: Path) -> None:
    assert dataset_classes("signs") == signs.CLASSES
    assert dataset_classes(f"folder:{folder}") == ("blue", "green", "red")
    assert dataset_classes("cifar10:/nowhere")[0] == "airplane"
    assert [len(set(dataset_classes(f"{name}:/nowhere"))) for name in ("cifar10", "cifar100")] == [10, 100]


@pytest.mark.usefixtures("no_images")
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mnist", UsageError, "unknown data set 'mnist'; write signs, cifar10:ROOT"),
        ("signs:here", UsageError, "unknown data set"),
        ("folder:", UsageError, "unknown data set 'folder:'"),
        ("folder:/nowhere", DataError, "no folder /nowhere; .*ROOT/train/CLASS"),
        ("folder:{empty}", DataError, "at least two classes; it has 0"),
    ],
)
def test_class_names_of_what_is_no_data_set(tmp_path: Path, name: str, error: type[Exception], message: str) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(error, match=message) as caught:
        dataset_classes(name.format(empty=tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_images")
@pytest.mark.parametrize("name", ["signs", "folder:{folder}", "cifar10:/nowhere"])
def test_other_classes_are_refused_before_images_are_made(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"classifier knows 2 classes \(cat, dog, ...\) and .* has \d+ "):
        open_dataset_of(name.format(folder=folder), ("cat", "dog"), InputSpec(32, 32))


def test_a_data_set_opens_at_the_input_size_of_a_classifier(folder: Path) -> None:
    data = open_dataset_of(f"folder:{folder}", ("blue", "green", "red"), InputSpec(24, 24))
    assert data.train.images.shape == (120, 24, 24, 3)


@pytest.mark.slow
def test_cifar10(cifar10: Path) -> None:
    data = open_dataset(f"cifar10:{cifar10}")
    assert data.classes[0] == "airplane"
    assert [len(split) for split in (data.train, data.val, data.test)] == [45_000, 5_000, 10_000]
    assert data.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert "5000 of 50000 training images are held out as val" in data.notes[0]
    train = {image.numpy().tobytes() for image in data.train.images[::50]}
    assert not any(image.numpy().tobytes() in train for image in data.val.images)
    assert data.fingerprint() == open_dataset(f"cifar10:{cifar10}").fingerprint()


@pytest.mark.slow
def test_the_class_names_of_cifar10_are_those_of_its_files(cifar10: Path) -> None:
    read = cifar.import_torchvision("datasets").CIFAR10
    assert dataset_classes(f"cifar10:{cifar10}") == tuple(read(cifar10, train=False).classes)


@pytest.mark.slow
def test_signs_of_any_size_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    render, requested = signs.render_signs, {}

    def render_few(split: str, *, size: int, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        requested[split] = count
        return render(split, size=size, count=count or 16)

    monkeypatch.setattr(signs, "render_signs", render_few)
    data = open_dataset("signs", 48, num_train=64)
    assert requested == {"train": 64, "val": None, "test": None}  # None: all of them
    assert data.train.images.shape == (64, 48, 48, 3)
    assert data.train.images.dtype == data.test.images.dtype == torch.uint8
    assert data.val.images.shape == data.test.images.shape == (16, 48, 48, 3)
    assert len(data.classes) >= 12
    assert not data.hflip


@pytest.mark.parametrize("name", [None, 5, b"signs", Path("signs"), ["signs"]])
def test_a_name_of_another_type_is_told(name: object) -> None:
    with pytest.raises(UsageError, match=r"^a data set is named by text such as 'folder:images'; got "):
        open_dataset(name)  # type: ignore[arg-type]
