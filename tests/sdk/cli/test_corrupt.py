from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, json_of, one_line
from jpeg_data import write_jpegs


@pytest.fixture(scope="module")
def corrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corrupted set that the command line has written."""
    out = tmp_path_factory.mktemp("corrupted") / "set"
    options = ["--corruption", "fog", "--corruption", "jpeg_compression", "--size", 32, "--processes", 1]
    result = json_of(invoke("corrupt", "--data", f"folder:{folder}", *options, "--out", out, "--json"))
    assert result["images"] == 24
    assert result["preview"] == str(out / "sheet.png")
    return out


@pytest.mark.slow
def test_a_set_has_a_preview(corrupted: Path) -> None:
    sheet = cv2.imread(str(corrupted / "sheet.png"))
    assert sheet is not None
    assert np.ptp(sheet) > 100
    assert np.load(corrupted / "fog.npy").shape == (120, 32, 32, 3)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("corrupt --data {data} --corruption gausian_noise --out {tmp}/x", 2, "did you mean gaussian_noise?"),
        ("corrupt --data {data} --corruption fog,snow --out {tmp}/x", 2, "--corruption fog --corruption snow"),
        ("corrupt --data cifar10:/nowhere --out {corrupted}", 1, "is there already ... new folder"),
        ("corrupt --data {data} --size 8 --out {tmp}/x", 2, "--size ... 16 to 1024"),
        ("corrupt --data {data} --processes 0 --out {tmp}/x", 2, "--processes"),
        ("corrupt --data {data} --layout tar --out {tmp}/x", 2, "'tar' ... folders"),
    ],
)
def test_bad_input(corrupted: Path, folder: Path, tmp_path: Path, line: str, code: int, words: str) -> None:
    values = {"data": f"folder:{folder}", "corrupted": corrupted, "tmp": tmp_path}
    done = invoke(*(part.format(**values) for part in line.split()))
    assert done.exit_code == code, done.stderr
    for part in words.split(" ... "):
        assert part in one_line(done)
    assert not list(tmp_path.iterdir())


def test_nobody_is_told_to_remove_the_images_themselves(folder: Path) -> None:
    done = invoke("corrupt", "--data", f"folder:{folder}", "--out", folder)
    assert done.exit_code == 1
    assert "is there already; name a new folder" in one_line(done)
    assert "remove" not in one_line(done)


@pytest.mark.slow
def test_streamed_images_give_the_same_set(tmp_path: Path) -> None:
    root = write_jpegs(tmp_path / "data", {"train": 3, "val": 3, "test": 4})
    line = ["corrupt", "--data", f"folder:{root}", "--corruption", "fog", "--size", 32, "--processes", 1, "--json"]
    in_memory = json_of(invoke(*line, "--in-memory", "--out", tmp_path / "one"))
    streamed = invoke(*line, "--stream", "--workers", 1, "--out", tmp_path / "two")
    assert json_of(streamed)["images"] == in_memory["images"] == 11
    assert "red/002.jpg" in streamed.stderr
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["corrupted.json", "fog.npy", "labels.npy", "sheet.png"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    refused = invoke(*line, "--workers", 999, "--out", tmp_path / "three")
    assert refused.exit_code == 2
    assert "the number of workers is 0 to 256; got 999" in one_line(refused)
