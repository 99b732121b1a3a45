"""The hash of a set's files changes with each of them, and can be computed of any folder."""

from __future__ import annotations

import os
from pathlib import Path

from allweather.trainers.corruptions.sets.files_digest import files_digest


def test_it_changes_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "fog.npy").write_bytes(b"1")
    before = files_digest(str(tmp_path))
    assert files_digest(str(tmp_path)) == before
    os.utime(tmp_path / "fog.npy", (1, 1))
    assert files_digest(str(tmp_path)) != before


def test_links_to_nothing_and_names_that_are_no_utf8_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff.txt")).touch()
    assert files_digest(str(tmp_path))
