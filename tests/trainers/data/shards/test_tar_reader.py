"""Headers are read as Python's tarfile reads them, for each form of tar."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from allweather.trainers.data.shards.tar_reader import CutOffError, Member, TarReader

NAMES = ("a.jpg", "b/" * 20 + "c.jpg", "long/" * 40 + "d.jpg", "größe-Ω.jpg", "x" * 100 + ".jpg", "y" * 99)
SIZES = (0, 1, 511, 512, 513, 9000)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def names_of(form: str) -> tuple[str, ...]:
    """Those that a form can hold."""
    return tuple(name for name in NAMES if form != "ustar" or len(name.rpartition("/")[2]) <= 100)


@contextmanager
def opened(path: Path) -> Iterator[TarReader]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield TarReader(handle)
    finally:
        os.close(handle)


def before_the_cut(path: Path) -> list[Member]:
    found: list[Member] = []
    with opened(path) as reader, pytest.raises(CutOffError):
        found.extend(reader.members())
    return found


def write(path: Path, form: int, names: tuple[str, ...] = NAMES) -> None:
    with tarfile.open(path, "w", format=form) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for index, (name, size) in enumerate(zip(names, SIZES, strict=False)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, 1.5 * index  # in pax, a time that is no whole number has a header of its own
            tar.addfile(info, io.BytesIO(os.urandom(size)))
            link = tarfile.TarInfo(f"link{index}")
            link.type, link.linkname, link.size = tarfile.LNKTYPE, name[:50], 0
            tar.addfile(link)


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_that_tarfile_finds(tmp_path: Path, form: str) -> None:
    names = names_of(form)
    write(tmp_path / "a.tar", FORMATS[form], names)
    with tarfile.open(tmp_path / "a.tar") as tar:
        wanted = [(Member(each.name, each.offset_data, each.size), each) for each in tar if each.isreg()]
        with opened(tmp_path / "a.tar") as reader:
            assert list(reader.members()) == [member for member, _ in wanted]
            for member, info in wanted:
                content = tar.extractfile(info)
                assert content is not None
                assert reader.read(member.offset, member.size) == content.read()


def test_sizes_of_more_than_octal_digits_hold_are_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge.jpg")
    info.size = 9 << 30
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + info.size)
        file.seek(0, os.SEEK_END)
        file.write(bytes(1024))
    with opened(tmp_path / "a.tar") as reader:
        assert list(reader.members()) == [Member("huge.jpg", 512, 9 << 30)]


@pytest.mark.parametrize("form", FORMATS)
def test_a_cut_anywhere_yields_the_members_before_it(tmp_path: Path, form: str) -> None:
    names = names_of(form)
    write(tmp_path / "a.tar", FORMATS[form], names)
    data = (tmp_path / "a.tar").read_bytes()
    with opened(tmp_path / "a.tar") as reader:
        whole = list(reader.members())
    end = max(member.offset + -(-member.size // 512) * 512 for member in whole)
    for cut in range(0, end, 256):
        (tmp_path / "b.tar").write_bytes(data[:cut])
        found = before_the_cut(tmp_path / "b.tar")
        assert found == [member for member in whole if member.offset + member.size <= cut]


def test_damage_is_found_by_the_checksum(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", tarfile.USTAR_FORMAT, NAMES[:1] * 4)
    data = bytearray((tmp_path / "a.tar").read_bytes())
    with opened(tmp_path / "a.tar") as reader:
        whole = list(reader.members())
    for place in (0, 120, 130, 150, 156, 300):
        damaged = bytearray(data)
        damaged[whole[2].offset - 512 + place] ^= 0x11
        (tmp_path / "b.tar").write_bytes(damaged)
        found = before_the_cut(tmp_path / "b.tar")
        assert found == whole[:2]
