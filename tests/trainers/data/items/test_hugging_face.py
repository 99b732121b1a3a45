"""A data set of the datasets library is read as the folder of the same files is; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from folder_data import counts

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import dataset_classes, inspect_dataset, open_dataset, open_dataset_of

CLASSES = ["aa", "bb"]


def split_of(folder: Path, classes: list[str] = CLASSES) -> Any:
    paths = sorted(folder.glob("*/*.png"))
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=classes)})
    files = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    return datasets.Dataset.from_dict(
        {"picture": files, "kind": [path.parent.name for path in paths]}, features=features
    )


@pytest.fixture
def saved(root: Path) -> Path:
    splits = {"train": root / "train", "validation": root / "val", "test": root / "test"}
    datasets.disable_progress_bars()
    datasets.DatasetDict({name: split_of(path) for name, path in splits.items()}).save_to_disk(root / "saved")
    return root / "saved"


def test_a_saved_data_set_is_the_folder_of_its_files(root: Path, saved: Path) -> None:
    expected, found = open_dataset(f"folder:{root}", 16), open_dataset(f"hf:{saved}", 16)
    for split in ("train", "val", "test"):
        assert torch.equal(getattr(found, split).images, getattr(expected, split).images)
        assert torch.equal(getattr(found, split).labels, getattr(expected, split).labels)
    assert (found.name, found.classes, found.notes, found.hflip) == ("hf:saved", ("aa", "bb"), (), True)
    assert expected.inventory
    assert [split.images for split in inspect_dataset(f"hf:{saved}").splits] == [
        split.images for split in expected.inventory.splits
    ]


@pytest.mark.slow
def test_one_that_is_in_memory_is_read_in_any_format(root: Path, saved: Path) -> None:
    expected = open_dataset(f"hf:{saved}", 16)
    loaded = datasets.load_from_disk(str(saved))
    for given in (loaded, loaded.with_format("numpy"), loaded.with_format("torch")):
        found = Dataset.from_torch(given, size=16)
        assert torch.equal(found.train.images, expected.train.images)
    apart = Dataset.from_torch(loaded["train"], loaded["validation"], loaded["test"], size=16)
    assert torch.equal(apart.test.images, expected.test.images)
    assert counts(Dataset.from_torch(loaded["train"], size=16)) == [[10, 10], [1, 1], [1, 1]]
    shuffled = loaded["train"].shuffle(seed=1).select(range(20))
    assert sum(counts(Dataset.from_torch(shuffled, loaded["test"], size=16))[0]) == 20


@pytest.mark.slow
def test_classes_are_matched_by_name(saved: Path) -> None:
    assert dataset_classes(f"hf:{saved}") == ("aa", "bb")
    before = open_dataset(f"hf:{saved}", 16)
    after = open_dataset_of(f"hf:{saved}", ("bb", "aa"), InputSpec(16, 16))
    given = Dataset.from_torch(datasets.load_from_disk(str(saved)), classes=["bb", "aa"], size=16)
    assert torch.equal(after.train.labels, 1 - before.train.labels)
    assert torch.equal(given.val.labels, 1 - before.val.labels)
    with pytest.raises(UsageError, match="it lacks cat and it also has bb"):
        open_dataset_of(f"hf:{saved}", ("aa", "cat"), InputSpec(16, 16))
    with pytest.raises(DataError, match=r"classes of train are not those .*: it lacks cat and it also has bb"):
        Dataset.from_torch(datasets.load_from_disk(str(saved)), classes=["aa", "cat"])


def test_splits_with_classes_in_another_order_are_matched_by_name(root: Path) -> None:
    found = Dataset.from_torch(split_of(root / "train"), split_of(root / "val", ["bb", "aa"]), size=16)
    assert found.val.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_damaged_images_are_left_out_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("000", "003"):
        (root / "train/bb" / f"{name}.png").write_bytes(b"no image")
    found = Dataset.from_torch(split_of(root / "train"), split_of(root / "val"), size=16)
    assert counts(found)[0] == [12, 10]
    assert found.inventory
    assert found.inventory.splits[0].unreadable_paths[0].startswith("train[12]: it is damaged")
    note = "train: 2 of 24 images could not be read and are left out, such as train[12]: it is damaged"
    assert any(each.startswith(note) for each in found.notes)
    assert caplog.text.count("an image is left out, train[1") == 2


def test_unknown_splits_and_copies_are_said(root: Path) -> None:
    train = split_of(root / "train")
    found = Dataset.from_torch(datasets.DatasetDict({"train": train, "valid": train, "extra": train}), size=16)
    assert "the splits extra are not known, and are not used" in found.notes
    assert found.inventory
    assert found.inventory.duplicates == {"train/val": 24}


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: "ylecun/mnist", r"and there is no folder ylecun/mnist; nothing is downloaded: .*save_to_disk"),
        (lambda root: "s3://bucket/data", "there is no folder s3:/"),
        (lambda root: root, "is no such folder"),
        (lambda root: empty(root / "new"), "is no such folder"),
    ],
)
def test_what_was_not_saved_is_refused_with_the_way_to_save_it(
    root: Path, make: Callable[[Path], Any], message: str
) -> None:
    for call in (open_dataset, dataset_classes, inspect_dataset):
        with pytest.raises(DataError, match=f"hf: takes a folder that the datasets library wrote, .*{message}"):
            call(f"hf:{make(root)}" if make is not None else "")
        shutil.rmtree(root / "new", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dataset_dict.json", "train/state.json", "train/dataset_info.json", "train/*.arrow"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1, 2]", b'{"splits": [7]}', b"\xff\xfe\0"])
def test_a_damaged_folder_gets_one_line(saved: Path, name: str, content: bytes | None) -> None:
    (path,) = saved.glob(name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    if name == "train/dataset_info.json" and content == b"{}":  # the Arrow file names the columns, too
        assert len(open_dataset(f"hf:{saved}", 16).train) == 24
        return
    with pytest.raises(DataError) as caught:
        open_dataset(f"hf:{saved}", 16)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95, 0.999])
def test_an_arrow_file_that_is_cut_off_gets_one_line(saved: Path, share: float) -> None:
    (path,) = saved.glob("train/*.arrow")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError) as caught:
        open_dataset(f"hf:{saved}", 16)
    assert "\n" not in str(caught.value)


def unlabeled(train: Any) -> Any:
    return train.cast_column("kind", datasets.Value("int64")).map(lambda row: {"kind": -1}).cast(train.features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda train: train.cast_column("kind", datasets.Value("int64")),
            r"no columns of the kind ClassLabel, .*kind \(Value\): class_encode_column",
        ),
        (lambda train: train.remove_columns("picture"), "no columns of the kind Image, and needs one; it has kind"),
        (
            lambda train: train.add_column("other", train["kind"][:], feature=train.features["kind"]),
            r"2 columns of the kind ClassLabel, .*: remove_columns\(\['other'\]\)",
        ),
        (lambda train: train.select([]), "train has no images"),
        (unlabeled, r"24 images without a valid label, such as train\[0\] with -1: leave them out"),
        (lambda train: train.with_transform(lambda batch: batch), r"train has a transform, .* call reset_format\(\)"),
        (lambda train: train.to_iterable_dataset(), "needs a length; got IterableDataset: load it without streaming"),
        (lambda train: datasets.DatasetDict({"all": train}), "no split train; it has 'all': give one as train"),
        (lambda train: datasets.DatasetDict({"train": train, "val": train, "dev": train}), "two splits could be val"),
        (lambda train: train.filter(lambda row: row["kind"] == 0), "all 12 images of train have the label of 'aa'"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(root: Path, change: Callable[[Any], Any], message: str) -> None:
    datasets.disable_progress_bars()
    with pytest.raises(DataError, match=message) as caught:
        Dataset.from_torch(change(split_of(root / "train")), size=16)
    assert "\n" not in str(caught.value)


def test_a_split_that_is_given_twice_is_refused(root: Path) -> None:
    train = split_of(root / "train")
    with pytest.raises(DataError, match="train holds the split test, and test was given as well"):
        Dataset.from_torch(datasets.DatasetDict({"train": train, "test": train}), None, train)
