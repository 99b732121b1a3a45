"""What another user has in a sticky folder, such as /tmp, cannot be replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from allweather.runtimes.errors import OutputError
from allweather.runtimes.system.atomic_files import check_file, check_folder


@pytest.mark.parametrize("check", [check_file, lambda path: check_folder(path, "marker")])
def test_what_belongs_to_another_user_is_told_before_anything_is_made(
    check: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs"
    path.touch() if check is check_file else path.mkdir()
    tmp_path.chmod(0o1777)
    check(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(OutputError, match=r"theirs: it belongs to another user, and in .* only that user may replace"):
        check(path)
    check(tmp_path / "new")
