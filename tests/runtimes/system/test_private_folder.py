"""Compiled models are programs: only what this user alone can write is read, and no home directory is no crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allweather.runtimes.engines.openvino_cache import cached_blob
from allweather.runtimes.engines.tensorrt.cache import built_engines
from allweather.runtimes.errors import EngineError, NotBuiltError
from allweather.runtimes.system import isolated_imports, private_folder
from allweather.runtimes.system.private_folder import cache_folder, can_be_made, read_private, write_private

HARMS = ["link", "link to nothing", "pipe", "folder", "group can write", "others can write", "another owner"]


def harm(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file of the cache one that somebody else may have put there."""
    if kind.endswith("can write"):
        path.chmod(0o620 if kind.startswith("group") else 0o602)
    elif kind == "another owner":
        monkeypatch.setattr(private_folder.os, "geteuid", lambda: os.getuid() + 1)
    else:
        path.rename(path.with_suffix(".moved"))
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(path.with_suffix(".moved") if kind == "link" else "nothing")


@pytest.mark.parametrize("kind", HARMS)
def test_a_file_that_somebody_else_may_have_written_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "entry.blob"
    write_private(path, b"program")
    assert read_private(path) == b"program"
    harm(path, kind, monkeypatch)
    with pytest.raises(EngineError, match=r"entry\.blob") as caught:
        read_private(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", HARMS[:-1])  # with another owner, the folder is not used either
def test_an_entry_of_the_openvino_cache_that_somebody_else_may_have_written_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached_blob(("a",), lambda: b"program") == b"program"
    (entry,) = cache_folder("openvino").iterdir()
    harm(entry, kind, monkeypatch)
    assert cached_blob(("a",), lambda: b"compiled again") == b"compiled again"
    if kind != "folder":  # the entry was replaced
        assert cached_blob(("a",), lambda: b"a third time") == b"compiled again"


def test_files_are_private_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "entry", b"program")
    finally:
        os.umask(before)
    assert (tmp_path / "entry").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
    assert read_private(tmp_path / "nothing") is None
    assert read_private(tmp_path / "entry" / "below") is None


def test_without_a_home_directory_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user id that /etc/passwd does not have, in a container or under a supervisor that does not set HOME."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(EngineError, match="set HOME, or XDG_CACHE_HOME"):
        cache_folder("openvino")
    assert cached_blob(("a",), lambda: b"compiled") == b"compiled"
    with pytest.raises(NotBuiltError, match="set HOME, or XDG_CACHE_HOME"):
        built_engines()


def test_libraries_get_no_cache_folder_that_they_cannot_create(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch creates its own at its import, so that nothing could be trained where the home cannot be written."""
    for name in isolated_imports.CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert set(isolated_imports._cache_variables()) == set(isolated_imports.CACHES)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert isolated_imports._cache_variables() == {}


def test_whether_a_folder_can_be_made_is_asked_of_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert can_be_made(tmp_path)
    assert can_be_made(tmp_path / "a" / "b")
    monkeypatch.setattr(private_folder.os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    assert not can_be_made(tmp_path)
    assert not can_be_made(tmp_path / "a" / "b")
