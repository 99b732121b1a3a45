"""Streamed images are those that are in memory otherwise; those that cannot be read are left out and named."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import os
import signal
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system import memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.epoch_plan import EpochPlan, plan_epoch
from allweather.trainers.data.image_size import ImageSize
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.split import LabeledImages, Split
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.data.streamed.streamed_split import StreamedSplit
from allweather.trainers.training.batch_shares import share

STREAMED = Reading(stream=True, workers=0)


def plan_of(
    split: LabeledImages, shifted: tuple[bool, ...] = (True,), epoch: int = 1, batch_size: int = 8
) -> EpochPlan:
    return plan_epoch(len(split), batch_size, shift=5, hflip=True, seed=7, epoch=epoch, shifted=shifted)


def all_parts(plan: EpochPlan) -> list[tuple[int, slice]]:
    return [(step, slice(None)) for step in range(len(plan.order))]


def stacked(split: LabeledImages, plan: EpochPlan) -> tuple[Tensor, Tensor]:
    images, labels = zip(*split.training_batches(plan, all_parts(plan)), strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize(
    ("size", "crop"), [(32, Crop()), ((32, 48), Crop()), (40, Crop("squash")), ((48, 40), Crop("center", 0.875))]
)
def test_streamed_images_are_those_in_memory(photos: Path, size: ImageSize, crop: Crop) -> None:
    held = open_dataset(f"folder:{photos}", size, crop=crop, reading=Reading(stream=False))
    streamed = open_dataset(f"folder:{photos}", size, crop=crop, reading=STREAMED)
    assert isinstance(held.train, Split)
    assert isinstance(streamed.train, StreamedSplit)
    assert streamed.classes == held.classes
    assert streamed.fingerprint() == held.fingerprint()
    for name in ("train", "val", "test"):
        split, expected = getattr(streamed, name), getattr(held, name)
        assert torch.equal(split.labels, expected.labels)
        assert torch.equal(split.loaded().images, expected.images)
        batches = list(split.batches(7))
        assert [len(batch) for batch in batches[:-1]] == [7] * (len(batches) - 1)
        assert torch.equal(torch.cat([batch.images for batch in batches]), expected.images)
        assert torch.equal(torch.cat([batch.labels for batch in batches]), expected.labels)
    for shifted, padding in (((True,), "zeros"), ((False, True), "reflect"), ((True, True, False), "reflect")):
        plan = dataclasses.replace(plan_of(held.train, shifted), padding=padding)
        for ours, expected in zip(stacked(streamed.train, plan), stacked(held.train, plan), strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.slow
def test_worker_processes_give_what_this_one_gives(photos: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("allweather.trainers.data.streamed.streamed_split.FEW_IMAGES", 0)
    readings = [Reading(True, number, random_resized=True) for number in (0, count)]
    alone, beside = (open_dataset(f"folder:{photos}", 32, reading=each).train for each in readings)
    plan = plan_of(alone, (True, False, True))
    for ours, expected in zip(stacked(beside, plan), stacked(alone, plan), strict=True):
        assert torch.equal(ours, expected)
        assert ours.stride() == expected.stride()


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_processes_share_an_epoch_and_each_reads_its_own_images_only(
    photos: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(True, 0, random_resized=True)).train
    assert isinstance(train, StreamedSplit)
    plan = plan_of(train, batch_size=6 if processes == 3 else 4)
    read: list[int] = []
    read_file = train.source.read

    def counted(index: int) -> bytes:
        read.append(index)
        return read_file(index)

    monkeypatch.setattr(train.source, "read", counted)
    whole = stacked(train, plan)[0]
    assert sorted(read) == sorted(plan.order.flatten().tolist())
    assert len(set(read)) == len(read)
    read.clear()
    for rank in range(processes):
        parts = [(step, share(rank, processes)) for step in range(len(plan.order))]
        for (step, own), (images, _) in zip(parts, train.training_batches(plan, parts), strict=True):
            first = step * plan.order.shape[1]
            assert torch.equal(images, whole[first : first + plan.order.shape[1]][own])
    assert sorted(read) == sorted(plan.order.flatten().tolist())


def test_random_crops_differ_from_epoch_to_epoch_and_copy_to_copy_but_not_from_call_to_call(photos: Path) -> None:
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(True, 0, random_resized=True)).train
    first, again, later = (stacked(train, plan_of(train, (True, True), epoch))[0] for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first[:8], first[8:16])
    assert (first.mean((1, 2, 3)) - later.mean((1, 2, 3))).abs().max() > 0.01


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_what_cannot_be_read_is_left_out_named_and_counted(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 3):
        damage(photos / "train" / "class0" / f"{number:02}.jpg")
    damage(photos / "val" / "class1" / "01.jpg")
    data = open_dataset(f"folder:{photos}", 32, reading=STREAMED)
    held = open_dataset(f"folder:{photos}", 32, reading=Reading(stream=False))
    caplog.clear()
    plan = plan_of(data.train, (True, False), batch_size=10)
    images, labels = stacked(data.train, plan)
    assert len(images) == len(labels) == 2 * 28
    assert sorted(labels.tolist()) == sorted(2 * held.train.labels.tolist())
    stacked(data.train, plan)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 2, "each is named once"
    assert all("cannot be read as an image and is left out" in line and "class0" in line for line in lines)
    with pytest.raises(DataError, match=r"val/class1/01\.jpg cannot be read"):
        list(data.val.batches(4))
    readable = data.readable()
    assert (len(readable.val), readable.test is readable.val) == (8, True)
    assert readable.notes[-1] == "val: 1 of 9 images could not be read and are left out"
    assert (data.train.unreadable, held.train.unreadable) == (2, 0)
    assert isinstance(held.val, Split)
    assert torch.equal(torch.cat([batch.images for batch in readable.val.batches(3)]), held.val.images)
    assert torch.equal(data.val.loaded().images, held.val.images)
    assert torch.equal(data.val.loaded().labels, held.val.labels)


def test_what_is_not_in_memory_says_how_to_get_it(photos: Path) -> None:
    data = open_dataset(f"folder:{photos}", 32, reading=STREAMED)
    with pytest.raises(AttributeError, match=r"batches\(250\).*loaded\(\)"):
        data.train.images  # type: ignore[attr-defined] # noqa: B018 # what a user tries first
    held = open_dataset(f"folder:{photos}", 32, reading=Reading(stream=False))
    for split, size in product((data.val, held.val), (0, -5, True, "8")):
        with pytest.raises(UsageError, match="1 or more; got"):
            list(split.batches(size))  # type: ignore[arg-type]


def test_nothing_that_can_be_read_is_told_in_one_line(photos: Path) -> None:
    for path in photos.rglob("*.jpg"):
        damage(path)
    data = open_dataset(f"folder:{photos}", 32, reading=STREAMED)
    with pytest.raises(DataError, match=r"none of the 8 images of a batch can be read, such as .*jpg"):
        stacked(data.train, plan_of(data.train))
    for read in (data.val.readable, data.val.loaded, data.readable):
        with pytest.raises(DataError, match=r"none of 9 images can be read, such as .*\.jpg: it is damaged"):
            read()


def test_the_files_of_a_list_that_are_not_there_are_counted(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = sorted((photos / "train").rglob("*.jpg"))
    rows = [f"{path},{path.parent.name}" for path in files] + [f"{photos / 'gone.jpg'},class0"]
    (photos / "list.csv").write_text("\n".join(["path,label", *rows]))
    streamed = open_dataset(f"list:{photos / 'list.csv'}", 32, reading=STREAMED)
    assert sum(len(split) for split in (streamed.train, streamed.val, streamed.test)) == 30
    assert "gone.jpg cannot be read as an image and is left out: No such file" in caplog.text
    assert any("1 of 31" in note and "gone.jpg" in note for note in streamed.notes), streamed.notes
    held = open_dataset(f"list:{photos / 'list.csv'}", 32, reading=Reading(stream=False))
    assert isinstance(held.val, Split)
    assert torch.equal(streamed.val.loaded().images, held.val.images)


@pytest.mark.slow
def test_a_worker_that_dies_is_told_in_one_line(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allweather.trainers.data.streamed.streamed_split.FEW_IMAGES", 0)
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(stream=True, workers=1)).train
    assert isinstance(train, StreamedSplit)
    parent = os.getpid()

    def fatal(index: int) -> None:
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(train.source, "read", fatal)
    handler = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(DataError, match=r"a process that reads images has ended.*--workers 0") as error:
        stacked(train, plan_of(train))
    assert "\n" not in str(error.value)
    assert signal.getsignal(signal.SIGCHLD) is handler


def test_images_are_streamed_if_they_do_not_fit(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def form() -> type[LabeledImages]:
        return type(open_dataset(f"folder:{photos}", 32).train)

    assert form() is Split
    size = 39 * 32 * 32 * 3 / memory.MAX_MEMORY_SHARE
    monkeypatch.setattr(memory, "usable_memory", lambda: size)
    assert form() is Split
    monkeypatch.setattr(memory, "usable_memory", lambda: size - 1)
    assert form() is StreamedSplit
    monkeypatch.setattr(memory, "usable_memory", lambda: 2 * size - 1)
    assert form() is Split
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert form() is StreamedSplit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers"), ({"workers": True}, "workers"), ({"workers": 257}, "0 to 256; got 257"),
        ({"workers": "2"}, "got '2'"), ({"stream": "yes"}, "True, False or None"), ({"random_resized": 1}, "True or"),
        ({"stream": False, "random_resized": True}, "leave out one"),
    ],
)  # fmt: skip
def test_other_readings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Reading(**arguments)  # type: ignore[arg-type]


def test_only_files_are_streamed() -> None:
    for reading in (Reading(stream=True), Reading(random_resized=True)):
        with pytest.raises(UsageError, match="only images of"):
            open_dataset("signs", reading=reading)


def test_a_streamed_data_set_is_divided_and_reordered_as_one_in_memory(photos: Path) -> None:
    def changed(stream: bool) -> Dataset:
        data = open_dataset(f"folder:{photos}", 32, reading=Reading(stream, 0))
        return data.with_classes(("class2", "class0", "class1")).subset(0.5, 3).with_label_noise(0.3, 2)

    streamed, held = changed(stream=True), changed(stream=False)
    assert streamed.notes == held.notes
    for name in ("train", "val"):
        ours, expected = getattr(streamed, name), getattr(held, name)
        assert torch.equal(ours.labels, expected.labels)
        assert torch.equal(ours.loaded().images, expected.images)
    assert "read when they are needed" in streamed.form
    assert "in memory" in held.form


def test_the_digest_of_streamed_images_changes_with_their_files(photos: Path) -> None:
    def digest() -> str:
        return open_dataset(f"folder:{photos}", 32, reading=STREAMED).val.digest()

    before = digest()
    assert digest() == before
    os.utime(photos / "val" / "class0" / "00.jpg", (1, 1))
    assert digest() != before


def test_the_global_random_numbers_are_not_used(photos: Path) -> None:
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(True, 0, random_resized=True)).train
    torch.manual_seed(0)
    np.random.seed(0)  # it is the global one that is looked at
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    stacked(train, plan_of(train))
    assert (torch.rand(1), np.random.rand()) == expected


def test_every_combination_of_copies_keeps_its_place(photos: Path) -> None:
    """A copy that is not cropped at random is the image of the evaluation, whatever the others are."""
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(True, 0, random_resized=True)).train
    expected = train.loaded()
    for shifted in product((True, False), repeat=2):
        plan = plan_epoch(len(train), 6, shift=5, hflip=False, seed=1, epoch=0, shifted=shifted)
        for (step, _), (images, labels) in zip(
            all_parts(plan), train.training_batches(plan, all_parts(plan)), strict=True
        ):
            rows = plan.order[step]
            assert torch.equal(labels, expected.labels[rows].repeat(2))
            plain = expected.images[rows].permute(0, 3, 1, 2) / 255
            for copy, is_random in enumerate(shifted):
                assert torch.equal(images[6 * copy : 6 * copy + 6], plain) is not is_random


@pytest.mark.slow
def test_workers_end_when_an_epoch_is_left(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allweather.trainers.data.streamed.streamed_split.FEW_IMAGES", 0)
    train = open_dataset(f"folder:{photos}", 32, reading=Reading(stream=True, workers=2)).train
    plan = plan_of(train)
    before = set(multiprocessing.active_children())
    batches = train.training_batches(plan, all_parts(plan))
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    batches.close()
    assert set(multiprocessing.active_children()) == before
