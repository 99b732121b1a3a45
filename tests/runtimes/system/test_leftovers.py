"""What a killed process left behind is deleted by the next one, and what a living process is writing is not."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder
from allweather.runtimes.system.leftovers import sweep_leftovers, temporary_beside, temporary_folder

HOLDER = """
import sys
from pathlib import Path
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder
path = Path(sys.argv[2])
with (atomic_file(path) if sys.argv[1] == "file" else atomic_folder(path, "marker")) as temporary:
    (temporary if temporary.is_file() else temporary / "marker").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""
Kind = Callable[[Path], object]


def start_writing(kind: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_a_killed_process_leaves_what_is_deleted(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "result.mp4"
    process = start_writing(kind, path)
    try:
        half = list(tmp_path.iterdir())
        with atomic_file(path) if kind == "file" else atomic_folder(path, "marker") as temporary:
            assert half[0].exists(), "a living process is writing it"
            (temporary if kind == "file" else temporary / "marker").write_text("whole")
    finally:
        kill(process)
    assert half[0].exists()
    with atomic_file(path) if kind == "file" else atomic_folder(path, "marker"):
        assert not half[0].exists()
    assert [each.name for each in tmp_path.iterdir()] == ["result.mp4"]


def test_what_was_left_of_an_unfinished_run_is_swept_and_other_hidden_files_are_not(tmp_path: Path) -> None:
    ours = ["..model.safetensors.resume-abcd_123.tmp", "..model.safetensors-abcd1234.tmp.resume", ".model-abcd1234.tmp"]
    others = [".model-20261127.mp4", ".other-abcd1234.tmp", "model-abcd1234.tmp", ".model.tmp"]
    for name in ours + others:
        (tmp_path / name).write_text("")
    sweep_leftovers(tmp_path / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("dear")
    (tmp_path / ".out-abcd1234.tmp").symlink_to(tmp_path / "photos")
    with temporary_beside(tmp_path / "out", folder=True):
        pass
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "dear"


def test_a_folder_that_was_moved_away_by_a_killed_process_is_moved_back(tmp_path: Path) -> None:
    old = tmp_path / ".result-old.tmp"
    old.mkdir()
    (old / "marker").write_text("old")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "result", "marker"):
        raise KeyError
    assert (tmp_path / "result" / "marker").read_text() == "old"
    assert not old.exists()


def test_a_folder_that_another_process_deletes_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def made_and_deleted(suffix: str, prefix: str, parent: Path) -> str:
        name = mkdtemp(suffix, prefix, parent)
        if not names:
            Path(name).rmdir()
        names.append(name)
        return name

    monkeypatch.setattr(tempfile, "mkdtemp", made_and_deleted)
    with temporary_beside(tmp_path / "x", folder=True) as folder:
        assert folder.is_dir()
    assert len(names) == 2
    assert not list(tmp_path.iterdir())


def test_a_system_without_a_folder_of_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is looked for anew
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with pytest.raises(OutputError, match=r"cannot be written; set TMPDIR to a folder"), temporary_folder():
        pass
