"""A demo removes and replaces nothing that no demo has made."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from allweather.demo.demo import run_demo
from allweather.demo.kept_folder import check_kept, claim_folder
from allweather.demo.settings import DemoSettings
from allweather.runtimes.errors import OutputError


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "robust.safetensors",
        ".robust.safetensors.resume",
        "signs.aw",
        "settings.json",
        "decisions.jsonl",
        "accuracy.png",
    ],
)
def test_files_of_others_stay(name: str, quick: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(OutputError, match=rf"is not the folder of a demo, and holds {name}, .* name a new folder"):
        run_demo(tmp_path, DemoSettings(frames=1), quick=quick)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "precious")]


def test_a_folder_with_other_names_is_taken_and_known_again(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    claim_folder(tmp_path)
    (tmp_path / "robust.safetensors").write_text("of this demo")
    claim_folder(tmp_path)
    assert check_kept(tmp_path, DemoSettings())
    assert not (tmp_path / "robust.safetensors").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "made", [{"settings.json": dataclasses.asdict(DemoSettings())}, {"summary.json": {"errors": {}, "frames": 3}}]
)
def test_a_folder_of_an_earlier_version_is_known(made: dict[str, object], tmp_path: Path) -> None:
    for name, content in made.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "drive.mp4").write_text("old")
    claim_folder(tmp_path)
