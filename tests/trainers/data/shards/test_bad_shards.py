"""What is wrong with shards or their labels is told in one line, or left out with a note."""

from __future__ import annotations

import gzip
import logging
import tarfile
from pathlib import Path

import pytest
from shard_data import read_shards as read
from shard_data import write_shard

from allweather.runtimes.errors import DataError, UsageError
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading


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


def test_shards_that_are_not_there_are_told(tmp_path: Path, shards: Path) -> None:
    assert message(tmp_path, "no-{0..3}.tar").endswith("no-{0..3}.tar: there is no such file")
    assert "are not there (1 of 4, such as " in message(shards, "train-{0..3}.tar")
    assert "are not there (1 of 4, such as " in message(shards, "{train-{0..2},val-7}.tar")
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
