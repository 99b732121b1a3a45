"""Files and folders appear completely or not at all, and nothing is left beside them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder, check_file, check_folder

MARKER = "manifest.json"
Writer = Callable[[Path], AbstractContextManager[Path]]


def folder(path: Path) -> AbstractContextManager[Path]:
    return atomic_folder(path, MARKER)


def fill(temporary: Path, content: str) -> None:
    if temporary.is_dir():
        (temporary / "deep").mkdir()
        (temporary / MARKER).write_text("{}")
        (temporary / "deep" / "file").write_text(content)
    else:
        temporary.write_text(content)


def interrupted(temporary: Path, error: BaseException) -> None:
    fill(temporary, "new")
    raise error


def content(path: Path) -> str:
    return (path / "deep" / "file" if path.is_dir() else path).read_text()


@pytest.fixture
def mask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


BOTH = pytest.mark.parametrize("writer", [atomic_file, folder], ids=["file", "folder"])


@BOTH
def test_content_appears_only_when_it_is_complete(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "result.zip"
    with writer(path) as temporary:
        fill(temporary, "first")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert content(path) == "first"
    with writer(path) as temporary:
        fill(temporary, "second")
        assert content(path) == "first"
    assert content(path) == "second"
    assert list(path.parent.iterdir()) == [path]


@BOTH
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("old", [True, False])
def test_an_exception_passes_through_and_leaves_what_was_there(
    writer: Writer, tmp_path: Path, error: BaseException, old: bool
) -> None:
    path = tmp_path / "result"
    if old:
        with writer(path) as temporary:
            fill(temporary, "old")
    with pytest.raises(type(error)) as caught, writer(path) as temporary:
        interrupted(temporary, error)
    assert caught.value is error
    assert [content(found) for found in tmp_path.iterdir()] == ["old"] * old


@BOTH
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "no permission to write there"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "rename", "chmod"])
def test_an_error_of_the_operating_system_is_one_clear_error(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, step: str
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, step)), refuse)
    if step == "rename":
        monkeypatch.setattr(Path, "replace", refuse)
    with (
        pytest.raises(OutputError, match=f"cannot write .*result: .*{reason}") as caught,
        writer(tmp_path / "result") as b,
    ):
        fill(b, "new")
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@BOTH
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_permissions_follow_the_umask(writer: Writer, tmp_path: Path, mask: Callable[[int], int], umask: int) -> None:
    mask(umask)
    with writer(tmp_path / "result") as temporary:
        fill(temporary, "x")
    everything = [tmp_path / "result", *(tmp_path / "result").rglob("*")]
    for path in everything:
        full = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == full & ~umask
    assert mask(0o022) == umask


@BOTH
def test_a_path_below_a_file_is_refused(writer: Writer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"), writer(tmp_path / "file" / "result") as temporary:
        fill(temporary, "x")
    assert (tmp_path / "file").read_text() == "mine"


@BOTH
def test_a_name_that_is_too_long_is_refused(writer: Writer, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*too long"), writer(tmp_path / ("x" * 5000)) as temporary:
        fill(temporary, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_its_suffix_while_it_is_written(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "film.mp4") as temporary:
        assert temporary.suffix == ".mp4"


def test_a_file_is_not_put_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder; name a file"), atomic_file(tmp_path / "folder"):
        pytest.fail("must not begin")
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_a_file_is_not_put_in_place_of_a_pipe(tmp_path: Path) -> None:
    """Nor in place of /dev/null, which root could replace."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="a device or a pipe"), atomic_file(tmp_path / "pipe"):
        pytest.fail("must not begin")
    assert (tmp_path / "pipe").is_fifo()


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    with folder(tmp_path / "result") as temporary:
        fill(temporary, "x")
    assert content(tmp_path / "result") == "x"


@pytest.mark.parametrize("path", ["", ".", "/", "..", "new/.."])
@pytest.mark.parametrize("write", [folder, lambda path: check_folder(path, MARKER)])
def test_a_folder_needs_a_name_of_its_own(
    path: str, write: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="needs a name"), write(Path(path)) or nullcontext():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "holiday.jpg").write_text("sun")
    with pytest.raises(OutputError, match=f"holds no {MARKER}; name a new folder"), folder(tmp_path / "album"):
        pytest.fail("must not begin")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["album", "holiday.jpg"]


def test_an_old_folder_stays_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount point, for example, cannot be moved away."""
    with folder(tmp_path / "result") as temporary:
        fill(temporary, "old")

    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(OutputError, match="busy"), folder(tmp_path / "result") as temporary:
        fill(temporary, "new")
    assert content(tmp_path / "result") == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "result"]


def test_an_old_folder_is_never_deleted_when_it_cannot_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder(tmp_path / "result") as temporary:
        fill(temporary, "old")
    rename, calls = Path.rename, iter(range(9))

    def once(self: Path, target: Path) -> Path:
        if next(calls):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(OutputError), folder(tmp_path / "result") as temporary:
        fill(temporary, "new")
    assert [path.read_text() for path in tmp_path.rglob("file")] == ["old"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path: Path) -> None:
    with folder(tmp_path / "first") as temporary:
        fill(temporary, "first")
    link = tmp_path / "link"
    link.symlink_to("first")
    for text in ("second", "third"):
        with folder(link) as temporary:
            fill(temporary, text)
    assert (content(tmp_path / "first"), content(link)) == ("first", "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "link"]


@pytest.mark.parametrize("check", [check_file, lambda path: check_folder(path, MARKER)])
def test_a_path_can_be_checked_first_and_nothing_is_left_there(tmp_path: Path, check: Callable[[Path], None]) -> None:
    check(tmp_path / "deep" / "deeper" / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="a part of the path is a file, not a folder"):
        check(tmp_path / "file" / "new")
    with pytest.raises(OutputError, match=r"cannot write /proc/new: .* choose another path"):
        check(Path("/proc/new"))


def test_checking_a_path_does_not_change_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    check_file(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "photo").write_text("old")
    with pytest.raises(OutputError, match="it exists and holds no manifest"):
        check_folder(tmp_path / "folder", MARKER)
    (tmp_path / "folder" / MARKER).write_text("{}")
    check_folder(tmp_path / "folder", MARKER)
    assert (tmp_path / "folder" / "photo").read_text() == "old"


def test_what_was_written_is_kept_where_a_folder_has_come_to_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    (tmp_path / "a-1.txt").touch()
    with ExitStack() as writing:
        writing.enter_context(atomic_file(path)).write_text("hours of work")
        path.mkdir()
        with pytest.raises(OutputError, match=r"a.txt: a folder or device has come there .* is .*a-2.txt$"):
            writing.close()
    assert (tmp_path / "a-2.txt").read_text() == "hours of work"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a-1.txt", "a-2.txt", "a.txt"]


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_has_come_to_the_path_of_a_folder_is_left_alone(is_folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "my.aw"
    theirs = path / "notes.txt" if is_folder else path
    with ExitStack() as writing:
        (writing.enter_context(atomic_folder(path, "mark")) / "mark").write_text("minutes of work")
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_text("theirs")
        with pytest.raises(OutputError, match=r"my.aw: something without mark has come there .* is .*my-1.aw$"):
            writing.close()
    assert theirs.read_text() == "theirs"
    assert (tmp_path / "my-1.aw" / "mark").read_text() == "minutes of work"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["my-1.aw", "my.aw"]
