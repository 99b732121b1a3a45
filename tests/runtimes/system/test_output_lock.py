"""Two processes with one output: the second is told so, and a lock of a killed process does not count."""

from __future__ import annotations

import contextvars
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.output_lock import output_lock

HOLDER = """
import sys
from pathlib import Path
from allweather.runtimes.system.output_lock import output_lock
with output_lock(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_processes_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "new" / "model.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (tmp_path / "link").symlink_to(out.parent)
    for same in (out, tmp_path / "link" / out.name):
        with pytest.raises(OutputError, match=rf"process {process.pid} is writing .*wait until"), output_lock(same):
            pass
    with output_lock(tmp_path / "new" / "other.safetensors"):
        pass
    process.kill()
    process.communicate()
    with output_lock(out):
        pass
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/new/model", "/", ".", "file/below"])
def test_where_no_lock_can_be_made_there_is_none(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with output_lock(Path(place)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_on_a_full_disk_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with output_lock(tmp_path / "out"):
            pass
    assert list(tmp_path.iterdir()) == []
    with output_lock(tmp_path / "out"):  # it is not held by this process for ever
        pass


def test_only_folders_that_stay_empty_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "out"
    with output_lock(out):
        out.write_text("result")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_lock_is_given_back_in_another_task_than_it_was_taken_in(tmp_path: Path) -> None:
    lock = output_lock(tmp_path / "out")
    contextvars.copy_context().run(lock.__enter__)  # as asyncio.to_thread does for each frame of a generator
    contextvars.copy_context().run(lock.__exit__, None, None, None)
    assert list(tmp_path.iterdir()) == []
    with output_lock(tmp_path / "out"):
        pass
