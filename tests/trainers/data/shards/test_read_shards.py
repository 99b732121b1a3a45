"""Shards give the images of the folder that they were made of, in training and evaluation; what is wrong is told."""

from __future__ import annotations

import gzip
import logging
import tarfile
from pathlib import Path

import pytest
import torch
from shard_data import paint_folder, samples_of, write_shard, write_split

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.data.labeled_images import LabeledImages
from allweather.trainers.data.reading import Reading
from allweather.trainers.data.registry import dataset_classes, inspect_dataset, open_dataset, open_dataset_of
from allweather.trainers.data.shards import library
from allweather.trainers.data.shards.shard_index import Shard, index_shard
from allweather.trainers.data.shards.shard_source import ShardSource

COUNTS = {"train": 40, "val": 4, "test": 3}
STREAMED = Reading(stream=True, workers=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "folder", COUNTS)


@pytest.fixture
def shards(tmp_path: Path, folder: Path) -> Path:
    """Three shards of train and one of val and test each, with names for labels."""
    for split in COUNTS:
        write_split(tmp_path / "shards", folder, split, 3 if split == "train" else 1)
    return tmp_path / "shards"


def read(root: Path, pattern: str, reading: Reading = STREAMED) -> Dataset:
    return open_dataset(f"webdataset:{root}/{pattern}", 16, reading=reading)


def message(root: Path, pattern: str = "*.tar") -> str:
    """The one line by which a data set is refused."""
    name = f"webdataset:{root}/{pattern}"
    with pytest.raises(DataError) as caught:
        open_dataset(name, 16)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def two_samples() -> list[dict[str, object]]:
    image = (b"\xff\xd8" * 20, b"\xff\xd8" * 30)
    return [{"__key__": f"{label}", "jpg": image[label], "cls": str(label)} for label in (0, 1)]


def trained_on(split: LabeledImages) -> list[tuple[torch.Tensor, torch.Tensor]]:
    plan = plan_epoch(len(split), 16, shift=2, hflip=True, seed=3, epoch=1, shifted=(True, False))
    return list(split.training_batches(plan, [(step, slice(None)) for step in range(len(plan.order))]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("random_resized", [False, True])
def test_images_are_those_of_the_folder(folder: Path, shards: Path, workers: int, random_resized: bool) -> None:
    reading = Reading(stream=True, workers=workers, random_resized=random_resized)
    data = read(shards, "{train-{0..2},val-0,test-0}.tar", reading)
    wanted = open_dataset(f"folder:{folder}", 16, reading=reading)
    assert data.name == "webdataset:{train-{0..2},val-0,test-0}.tar"
    assert data.classes == wanted.classes == ("cat", "dog")
    assert data.hflip
    assert data.notes == ()
    for split in COUNTS:
        ours, theirs = getattr(data, split), getattr(wanted, split)
        assert torch.equal(ours.labels, theirs.labels)
        for got, expected in zip(ours.batches(7), theirs.batches(7), strict=True):
            assert torch.equal(got.images, expected.images)
            assert torch.equal(got.labels, expected.labels)
    for got, expected in zip(trained_on(data.train), trained_on(wanted.train), strict=True):
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1], expected[1])


def test_splits_that_are_missing_are_held_out_as_of_a_folder(tmp_path: Path, folder: Path, shards: Path) -> None:
    (tmp_path / "alone").mkdir()
    (folder / "train").rename(tmp_path / "alone" / "train")
    data = read(shards, "train-{0..2}.tar")
    wanted = open_dataset(f"folder:{tmp_path}/alone", 16, reading=STREAMED)
    for split in COUNTS:
        assert torch.equal(getattr(data, split).loaded().images, getattr(wanted, split).loaded().images)
    assert data.notes[0].startswith("webdataset:train-{0..2}.tar names no val shards: 8 images of train are held out")
    assert [sum(split.images.values()) for split in data.inventory.splits] == [80]  # type: ignore[union-attr]


def test_a_digest_tells_shards_apart_and_survives_a_new_start(shards: Path) -> None:
    first, again = (read(shards, "train-{0..2}.tar").train.digest() for _ in range(2))
    other = read(shards, "train-{1..2}.tar").train.digest()
    (shards / "train-1.tar").write_bytes((shards / "train-1.tar").read_bytes() + bytes(512))
    assert len({first, other, read(shards, "train-{0..2}.tar").train.digest()}) == 3
    assert first == again


def test_classes_are_known_and_matched_without_an_image(tmp_path: Path, shards: Path) -> None:
    name = f"webdataset:{shards}/train-{{0..2}}.tar"
    assert dataset_classes(name) == ("cat", "dog")
    data = open_dataset_of(name, ("dog", "cat"), InputSpec(16, 16), reading=STREAMED)
    assert data.train.labels[:5].tolist() == [1] * 5
    with pytest.raises(UsageError, match="classifier knows 2 classes"):
        open_dataset_of(name, ("dog", "bird"), InputSpec(16, 16))
    (tmp_path / "classes.txt").write_text("b\na\n")
    (tmp_path / "train-0.tar").touch()  # no tar: not read for them
    assert dataset_classes(f"webdataset:{tmp_path}/train-0.tar") == ("b", "a")


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (("10", "2", "9", "0", "1", "3", "4", "5", "6", "7", "8"), None, tuple(map(str, range(11)))),
        (("dog", " cat\n"), None, ("cat", "dog")),
        (("1", "0"), "zebra\r\napple\n\n", ("zebra", "apple")),
        (("apple", "zebra"), "\ufeffzebra\napple", ("zebra", "apple")),
        (("1", "0"), "zebra\napple\nnever", ("zebra", "apple", "never")),
    ],
)
def test_labels_are_numbers_or_names(
    tmp_path: Path, labels: tuple[str, ...], names: str | None, classes: tuple[str, ...]
) -> None:
    write_shard(
        tmp_path / "a.tar",
        [
            {"__key__": f"{copy}{index}", "jpg": b"x", "cls": label}
            for copy in "abc"
            for index, label in enumerate(labels)
        ],
    )
    if names:
        (tmp_path / "classes.txt").write_text(names, encoding="utf-8")
    data = read(tmp_path, "a.tar")
    assert data.classes == dataset_classes(f"webdataset:{tmp_path}/a.tar") == classes
    every = torch.cat([data.train.labels, data.val.labels, data.test.labels])
    means = [int(label) if label.isdigit() else classes.index(label.strip()) for label in labels]
    assert sorted(every.tolist()) == sorted(means * 3)
    assert ("no images of never; they cannot be learned" in "\n".join(data.notes)) == ("never" in classes)


def test_labels_and_images_have_several_suffixes(tmp_path: Path) -> None:
    samples = [
        {"__key__": "a", "json": {"label": "cat", "width": 3}, "png": b"x"},
        {"__key__": "b", "JPEG": b"x", "cls": "dog", "json": {"label": "cat"}, "txt": "a dog"},
        {"__key__": "c", "webp": b"x", "json": {"cls": 7, "class": "cat"}, "seg.png": b"y"},
        {"__key__": "d", "jpg": b"x", "json": {"class": "cat"}},
        {"__key__": "e", "cls": "dog"},
        {"__key__": "f", "jpg": b"x", "png": b"y", "cls": "dog"},
    ]
    shard = Shard(write_shard(tmp_path / "a.tar", samples), "a.tar", False)
    index, labels = index_shard(shard, library.import_webdataset())
    assert labels == ["cat", "dog", "7", "cat", "dog"]
    assert (index.without_image, index.with_more_images) == (1, 1)
    source = ShardSource([shard], [index])
    assert [source.name(each) for each in range(5)] == [
        "a.png in a.tar", "b.JPEG in a.tar", "c.webp in a.tar", "d.jpg in a.tar", "f.jpg in a.tar",
    ]  # fmt: skip
    assert [source.read(each) for each in range(5)] == [b"x"] * 5


def test_what_is_left_out_is_in_the_notes(tmp_path: Path, folder: Path) -> None:
    samples = samples_of(folder / "val")
    samples += [{"__key__": "alone", "cls": "1"}, {**samples[0], "__key__": "both", "png": b"y"}]
    write_shard(tmp_path / "a.tar", samples)
    notes = read(tmp_path, "a.tar").notes
    assert "train: 1 samples have no image KEY.jpg and are left out" in notes
    assert "train: 1 samples have several images; the first of each is used" in notes


def test_the_inventory_counts_damaged_images(tmp_path: Path, folder: Path) -> None:
    samples = samples_of(folder / "train", named=True)
    samples[1]["jpg"] = b"no image"
    write_shard(tmp_path / "a.tar", samples)
    seen: list[tuple[int, int]] = []
    inventory = inspect_dataset(f"webdataset:{tmp_path}/a.tar", watch=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (80, 80)
    (train,) = inventory.splits
    assert dict(train.images) == {"cat": 39, "dog": 40}
    assert train.unreadable_paths == ("cat/001.jpg in " + f"{tmp_path}/a.tar",)
    assert "train: 1 of 80 images could not be read and are left out, such as cat/001.jpg in " in inventory.notes[0]
    assert any("a tenth of each class of train will be held out as val" in note for note in inventory.notes)
    assert isinstance(inventory, Inventory)
    assert inventory.as_dict()["splits"][0]["unreadable"] == 1


def test_damaged_images_are_left_out_of_training(tmp_path: Path, folder: Path) -> None:
    samples = samples_of(folder / "train")
    for sample in samples[:3]:
        sample["jpg"] = b"no image"
    write_shard(tmp_path / "a.tar", samples)
    write_split(tmp_path, folder, "val", 1, named=False)
    (tmp_path / "a.tar").rename(tmp_path / "train-0.tar")
    data = read(tmp_path, "{train,val}-0.tar")
    assert sum(len(labels) for _, labels in trained_on(data.train)) >= 2 * (len(data.train) // 16 * 16 - 3)
    assert len(data.train.readable()) == 77


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_shards_that_are_not_there_are_told(tmp_path: Path, shards: Path) -> None:
    assert message(tmp_path, "no-{0..3}.tar").endswith("no-{0..3}.tar: there is no such file")
    assert "are not there (1 of 4, such as " in message(shards, "train-{0..3}.tar")
    assert message(shards, "").endswith("is a folder; name tar files, such as shards/{train,val}-{000..009}.tar")


def test_a_shard_that_is_cut_off_gives_what_is_before_the_cut(shards: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = shards / "train-1.tar"
    whole = read(shards, "{train-{0..2},val-0,test-0}.tar")
    with tarfile.open(path) as tar:
        labels = [member for member in tar if member.name.endswith(".cls")]
    with path.open("r+b") as file:
        file.truncate(labels[9].offset_data)  # the tenth image of the shard is there, and its label is not
    with caplog.at_level(logging.WARNING):
        data = read(shards, "{train-{0..2},val-0,test-0}.tar")
    assert len(data.train) == len(whole.train) - 27 + 9
    (line,) = caplog.messages
    assert line.startswith("train: 1 of 3 shards is cut off or damaged, such as ")
    assert "train-1.tar; the images before the cut are used, 9 of this one: replace it" in line
    assert line in data.notes


def test_a_shard_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", two_samples())
    for size, text in ((3000, "cut off or damaged at byte"), (700, "cut off or damaged at byte 512")):
        with path.open("r+b") as file:
            file.truncate(size)
        if size == 700:
            assert text in message(tmp_path, "a.tar") or "byte" in message(tmp_path, "a.tar")
    path.write_bytes(b"")
    assert message(tmp_path, "a.tar").endswith("a.tar is empty; remove or replace it")


def test_what_is_no_tar_file_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "b.tar", two_samples())
    (tmp_path / "a.tar").write_bytes(b"<html>" * 200)
    assert message(tmp_path, "a.tar").endswith("a.tar is no tar file; remove or replace it")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "b.tar").read_bytes()))
    assert "a.tar.gz is compressed" in message(tmp_path, "a.tar.gz")
    assert "uncompress it, such as with gunzip" in message(tmp_path, "a.tar.gz")
    (tmp_path / "a.tar").write_bytes(bytes(10240))
    assert message(tmp_path, "a.tar").endswith("holds no image KEY.jpg with its label KEY.cls: it is empty; replace it")
    write_shard(tmp_path / "a.tar", [{"__key__": "a", "npy": b"x", "cls": "0"}])
    assert "it holds .cls, .npy" in message(tmp_path, "a.tar")


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"jpg": b"x"}, "1 of 3 images in .*a.tar have no label, such as z.jpg: put it into KEY.cls"),
        ({"jpg": b"x", "cls": " \n"}, "have no label, such as z.jpg"),
        ({"jpg": b"x", "json": {"caption": "a cat"}}, "have no label, such as z.jpg"),
        ({"jpg": b"x", "json": {"label": [1]}}, "have no label"),
        ({"jpg": b"x", "json": {"label": True}}, "have no label"),
        ({"jpg": b"x", "cls": b"\xff\xfe"}, "label z.cls in .*a.tar is no text in UTF-8; correct it"),
        ({"jpg": b"x", "json": b"{"}, "label z.json in .* is no JSON"),
        ({"jpg": b"x", "json": b"[" * 500_000}, "label z.json in .* is no JSON"),
        ({"jpg": b"x", "cls": b"1" * 2_000_000}, "z.cls in .* has 2000000 bytes, which is no label"),
        ({"jpg": b"x", "cls": "3"}, "labels of train are numbers up to 3, but there is none of 2; add images, or"),
        ({"jpg": b"x", "cls": "999999999999"}, "there is none of 2, 3, 4, 5, 6 and more; add"),
        ({"jpg": b"x", "cls": "-1"}, "a label of train is the number -1; labels are numbers from 0 on, or names"),
        ({"jpg": b"x", "cls": "a\x1bb"}, r"the class 'a\?b' holds U\+001B"),
    ],
)
def test_labels_that_cannot_be_used_are_told(tmp_path: Path, extra: dict[str, object], text: str) -> None:
    write_shard(tmp_path / "a.tar", [*two_samples(), {"__key__": "z", **extra}])
    with pytest.raises(DataError, match=text):
        read(tmp_path, "a.tar")


def test_a_label_that_is_no_class_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "train.tar", two_samples())
    write_shard(tmp_path / "val.tar", [{"__key__": "z", "jpg": b"x", "cls": "2"}])
    pattern = "{train,val}.tar"
    assert "the label '2' of z.jpg in " in message(tmp_path, pattern)
    assert "is none of the 2 classes of train (0 to 1); correct one of them" in message(tmp_path, pattern)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert "is none of the 2 classes of classes.txt (0 to 1)" in message(tmp_path, pattern)
    write_shard(tmp_path / "val.tar", [{"__key__": "z", "jpg": b"x", "cls": "bird"}])
    write_shard(tmp_path / "train.tar", [{**two_samples()[0], "cls": "cat"}, {**two_samples()[1], "cls": "dog"}])
    assert "the label 'bird' of z.jpg in " in message(tmp_path, pattern)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("cat\ncat\n", "classes.txt: each class has a name of its own; 'cat' is there twice"),
        ("cat\n\ndog\n", "classes.txt: a class has the name '', which names nothing"),
        ("cat\n", "classes.txt holds 1 name; a data set has two classes or more"),
        ("\udcff", "classes.txt is not in UTF-8"),
    ],
)
def test_a_file_of_classes_that_cannot_be_used_is_told(tmp_path: Path, names: str, text: str) -> None:
    write_shard(tmp_path / "a.tar", two_samples())
    (tmp_path / "classes.txt").write_bytes(names.encode("utf-8", "surrogateescape"))
    assert text in message(tmp_path, "a.tar")


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", two_samples()[:1])
    assert "all images of train have the label '0'; at least two classes" in message(tmp_path, "a.tar")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert "have the label 'cat'; a data set has images of at least two" in message(tmp_path, "a.tar")


def test_a_member_that_is_there_twice_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [two_samples()[0], two_samples()[0]])
    assert "a.tar holds 0.cls twice" in message(tmp_path, "a.tar")


def test_images_are_never_in_memory(shards: Path) -> None:
    with pytest.raises(UsageError, match="images of shards are always streamed; leave out --in-memory"):
        read(shards, "train-0.tar", Reading(stream=False))


def test_a_shard_that_shrinks_meanwhile_loses_its_images(shards: Path) -> None:
    data = read(shards, "train-{0..2}.tar")
    with (shards / "train-2.tar").open("r+b") as file:
        file.truncate(700)
    assert 0 < len(data.train.readable()) < len(data.train)


def test_a_url_and_a_tar_file_are_told_their_form(tmp_path: Path) -> None:
    for name, form in ((f"{tmp_path}/a.tar", f"webdataset:{tmp_path}/a.tar"), ("http://h/a.tar", "webdataset:http:")):
        with pytest.raises(UsageError, match=f": {form}"):
            open_dataset(name)
    with pytest.raises(UsageError) as caught:
        open_dataset("webdatset:http://me:secret@host/a.tar")
    assert "secret" not in str(caught.value)
