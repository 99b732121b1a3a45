from __future__ import annotations

from pathlib import Path

import pytest

from allweather.reports.html import Section, page, write_files
from allweather.runtimes.errors import OutputError


def test_all_text_of_a_page_is_escaped() -> None:
    hostile = '<script>"&'
    section = Section(hostile, hostile, [(hostile, "b"), ("c", hostile)], image=hostile)
    text = page(hostile, hostile, [section])
    assert "<script>" not in text
    assert (
        text.count("&lt;script&gt;") == 9
    )  # title twice, lead; heading, text, two cells, file and alternative text of the image


def test_files_are_written_as_text_or_bytes(tmp_path: Path) -> None:
    write_files(tmp_path / "report", {"a.txt": "\u00e4", "b.bin": b"\x00"})
    assert (tmp_path / "report" / "a.txt").read_text(encoding="utf-8") == "\u00e4"
    assert (tmp_path / "report" / "b.bin").read_bytes() == b"\x00"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_files(tmp_path / "file", {"a.txt": ""})
