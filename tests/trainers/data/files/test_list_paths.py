"""Paths of a list: two spellings are one file, and those of another system are told."""

from __future__ import annotations

from pathlib import Path

from allweather.trainers.data.files.lists import find_list


def listed(tmp_path: Path, *lines: str) -> Path:
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "x.csv").write_text("\n".join(("path,label,split", *lines)) + "\n")
    return tmp_path / "x.csv"


def test_a_path_that_is_spelled_in_two_ways_is_one_file(tmp_path: Path) -> None:
    found = find_list(listed(tmp_path, "a/0.png,a,train", "./a/0.png,a,train", "a//1.png,a,train", "b/0.png,b,train"))
    assert not found.problems
    assert found.notes == ("x.csv names 1 files again, which are used once",)
    assert [len(each.images) for each in found.splits["train"].classes.values()] == [2, 1]


def test_paths_of_windows_are_told(tmp_path: Path) -> None:
    (problem,) = find_list(listed(tmp_path, "a\\0.png,a,train", "b\\0.png,b,train")).problems
    assert problem.endswith("relative to the folder of the list, with / and not \\ between folders")
