"""The index of one shard: where each of its images lies, and what its label is.

The library's own reader by index, wids, which webdataset 1.0 no longer has, wants the number of samples of each shard
beforehand, keeps Python objects for each member, and reads neither long names nor shards that are cut off; so shards
are indexed here.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.runtimes.cameras.image_files.names import IMAGE_SUFFIXES
from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.trainers.data.files.names import list_names
from allweather.trainers.data.files.rows import LABELS
from allweather.trainers.data.shards.library import WebDataset
from allweather.trainers.data.shards.tar_reader import CutOffError, Member, TarReader

MAX_LABEL_BYTES = 1 << 20  # of a member .cls or .json
JSON_KEYS = ("cls", *LABELS)
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")  # gzip, bzip2, xz, zstd, lz4
_META = re.compile(r"__[^/]*__($|/)")  # members that the library skips


@dataclass(frozen=True)
class Shard:
    """A tar file.

    Attributes:
        path: Where it lies on this machine.
        shown: Its path or URL as messages have it.
        is_copy: Whether it is the copy of one that lies on a server.
    """

    path: Path
    shown: str
    is_copy: bool


@dataclass(frozen=True)
class ShardIndex:
    """The images of a shard.

    Attributes:
        names: Names of the members that are images, in UTF-8, one after the other.
        name_ends: int64 [n], where each name ends.
        offsets: int64 [n], where each image begins in the shard.
        sizes: int64 [n], bytes of each.
        stamp: Text that changes with the shard.
        is_whole: Whether the shard has its end mark.
        without_image: Number of samples that have no image, and are left out.
        with_more_images: Number of samples that have several, of which the first is used.
    """

    names: bytes
    name_ends: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    stamp: str
    is_whole: bool
    without_image: int = 0
    with_more_images: int = 0


def index_shard(shard: Shard, library: WebDataset) -> tuple[ShardIndex, list[str]]:
    """Reads the headers of a shard and the labels of its samples, and no image.

    A sample is what the library takes for one: members that follow one another and have one key, which is the name up
    to the first dot. Its image is KEY.jpg or another suffix of images, and its label KEY.cls, or KEY.json with a value
    cls, label or class.

    Args:
        shard: The tar file.
        library: Conventions of the names.

    Returns:
        The index, and the text of each image's label; equal ones are one object.

    Raises:
        DataError: It is not there, is no tar file, is compressed, holds no image, or has an image without a label.
    """
    try:
        handle = os.open(shard.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "is not there" if error.errno == errno.ENOENT else f"cannot be read ({error.strerror})"
        raise DataError(f"the shard {shard.shown} {reason}") from error
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a pipe or a device"
            raise DataError(f"{shard.shown} is {kind}; name tar files, such as shards/{{train,val}}-{{000..009}}.tar")
        stamp = f"{state.st_size}" if shard.is_copy else f"{state.st_size} {state.st_mtime_ns}"
        return _Indexing(shard, TarReader(handle), library).index(stamp)
    except OSError as error:
        raise DataError(f"the shard {shard.shown} cannot be read: {error.strerror or error}") from error
    finally:
        os.close(handle)


class _Indexing:
    """Collects the images of one shard."""

    def __init__(self, shard: Shard, reader: TarReader, library: WebDataset) -> None:
        self._shard, self._reader, self._library = shard, reader, library
        self._names: list[bytes] = []
        self._offsets, self._sizes = array("q"), array("q")
        self._labels: list[str] = []
        self._known: dict[str, str] = {}
        self._unlabeled: list[str] = []
        self._suffixes: Counter[str] = Counter()
        self._without_image = self._with_more_images = 0

    def index(self, stamp: str) -> tuple[ShardIndex, list[str]]:
        """Reads the shard; see `index_shard`."""
        cut: CutOffError | None = None
        members: dict[str, Member] = {}  # of the current sample, by what follows the key
        key = None
        try:
            for name, extension, member in self._members():
                if name != key:
                    self._add(members)
                    key, members = name, {}
                if extension in members:
                    raise DataError(f"{self._shard.shown} holds {printable(member.name)} twice; keep one of them")
                members[extension] = member
        except CutOffError as error:
            cut = error
        if cut is None or self._is_complete(members):
            self._add(members)
        self._check(cut)
        ends = np.cumsum([len(name) for name in self._names], dtype=np.int64)
        offsets, sizes = np.array(self._offsets, np.int64), np.array(self._sizes, np.int64)
        found = ShardIndex(
            b"".join(self._names), ends, offsets, sizes, stamp, cut is None, self._without_image,
            self._with_more_images,
        )  # fmt: skip
        return found, self._labels

    def _members(self) -> Iterator[tuple[str, str, Member]]:
        for member in self._reader.members():
            if not _META.match(member.name):
                key, extension = self._library.base_plus_ext(member.name)
                if key is not None and extension:
                    yield key, extension.lower(), member

    def _add(self, members: dict[str, Member]) -> None:
        images = [member for extension, member in members.items() if f".{extension}" in IMAGE_SUFFIXES]
        self._suffixes.update(f".{extension}" for extension in members)
        if not images:
            self._without_image += bool(members)
            return
        self._with_more_images += len(images) > 1
        image = images[0]
        label = self._label(members)
        if not label:
            self._unlabeled.append(image.name)
            return
        self._names.append(image.name.encode("utf-8", "surrogateescape"))
        self._offsets.append(image.offset)
        self._sizes.append(image.size)
        self._labels.append(self._known.setdefault(label, label))

    def _is_complete(self, members: dict[str, Member]) -> bool:
        """Returns whether a sample has an image and a label, so that a cut after it took nothing that is needed."""
        return any(f".{each}" in IMAGE_SUFFIXES for each in members) and ("cls" in members or "json" in members)

    def _label(self, members: dict[str, Member]) -> str:
        """Returns the label of a sample as text; "" for none."""
        member = members.get("cls") or members.get("json")
        if member is None:
            return ""
        if member.size > MAX_LABEL_BYTES:
            raise DataError(f"{self._name(member)} has {member.size} bytes, which is no label; correct it")
        content = self._reader.read(member.offset, member.size)
        try:
            return content.decode().strip() if "cls" in members else _label_of_json(content)
        except (ValueError, RecursionError) as error:  # no UTF-8, or no JSON
            kind = "text in UTF-8" if "cls" in members else "JSON"
            raise DataError(f"the label {self._name(member)} is no {kind}; correct it") from error

    def _check(self, cut: CutOffError | None) -> None:
        shown = self._shard.shown
        if cut is not None and cut.position == 0:
            start = self._reader.read(0, 8)
            if start.startswith(COMPRESSED):
                raise DataError(
                    f"the shard {shown} is compressed, and its images could only be read one after the other; "
                    "uncompress it, such as with gunzip (images do not get smaller by it)"
                )
            raise DataError(f"the shard {shown} is {'no tar file' if start else 'empty'}; remove or replace it")
        if self._unlabeled:
            total = len(self._unlabeled) + len(self._labels)
            raise DataError(
                f"{len(self._unlabeled)} of {total} images in {shown} have no label, such as "
                f"{printable(self._unlabeled[0])}: put it into KEY.cls beside KEY.jpg, or as cls into KEY.json; the "
                "members of a sample follow one another"
            )
        if not self._labels:
            kinds = list_names([printable(each) for each, _ in self._suffixes.most_common()])
            there = f"it holds {kinds}" if kinds else "it is empty"
            if cut is not None:
                there = f"it is cut off or damaged at byte {cut.position}"
            raise DataError(f"the shard {shown} holds no image KEY.jpg with its label KEY.cls: {there}; replace it")

    def _name(self, member: Member) -> str:
        return f"{printable(member.name)} in {self._shard.shown}"


def _label_of_json(content: bytes) -> str:
    values = json.loads(content)
    label = next((values[key] for key in JSON_KEYS if key in values), "") if isinstance(values, dict) else ""
    is_label = isinstance(label, str | int) and not isinstance(label, bool)
    return str(label).strip() if is_label else ""
