"""Shards give the images of the folder that they were made of, in training and evaluation; what is wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from shard_data import STREAMED, samples_of, write_shard, write_split
from shard_data import read_shards as read

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.data.registry import dataset_classes, inspect_dataset, open_dataset, open_dataset_of
from allweather.trainers.data.shards import library
from allweather.trainers.data.shards.shard_index import Shard, index_shard
from allweather.trainers.data.shards.shard_source import ShardSource
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.data.streamed.reading import Reading

SPLITS = ("train", "val", "test")


def trained_on(split: LabeledImages) -> list[tuple[torch.Tensor, torch.Tensor]]:
    plan = plan_epoch(len(split), 16, shift=2, hflip=True, seed=3, epoch=1, shifted=(True, False))
    return list(split.training_batches(plan, [(step, slice(None)) for step in range(len(plan.order))]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("random_resized", [False, True])
@pytest.mark.slow
def test_images_are_those_of_the_folder(folder: Path, shards: Path, workers: int, random_resized: bool) -> None:
    reading = Reading(stream=True, workers=workers, random_resized=random_resized)
    data = read(shards, "{train-{0..2},val-0,test-0}.tar", reading)
    wanted = open_dataset(f"folder:{folder}", 16, reading=reading)
    assert data.name == "webdataset:{train-{0..2},val-0,test-0}.tar"
    assert data.classes == wanted.classes == ("cat", "dog")
    assert data.hflip
    assert data.notes == ()
    for split in SPLITS:
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
    for split in SPLITS:
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


def test_the_inventory_tells_images_that_are_in_two_splits_or_classes(tmp_path: Path, folder: Path) -> None:
    train, test = samples_of(folder / "train"), samples_of(folder / "test")
    train[2]["jpg"] = train[1]["jpg"] = b"no image"  # damaged ones are equal to none
    train.append({**train[0], "__key__": "again", "cls": str(1 - int(str(train[0]["cls"])))})
    write_shard(tmp_path / "train.tar", train)
    write_shard(tmp_path / "test.tar", [*test, {**train[3], "__key__": "leaked"}])
    inventory = inspect_dataset(f"webdataset:{tmp_path}/{{train,test}}.tar")
    assert inventory.duplicates == {"train/test": 1}
    notes = "\n".join(inventory.notes)
    assert f"1 of {len(test) + 1} images of test are in train, too, such as leaked.jpg in {tmp_path}/test.tar" in notes
    assert f"train: 1 image is in two classes or more, such as {train[0]['__key__']}.jpg in " in notes


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
