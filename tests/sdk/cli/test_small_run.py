"""A small run: some test images and some corruptions, which the results and the report say to be a part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import invoke, json_of, one_line

PART = "a part of the test images, 6 of 24, drawn with seed 0"


@pytest.mark.slow
def test_a_small_run_says_that_it_is_a_part(plain: Path, folder: Path, tmp_path: Path) -> None:
    line = ["evaluate", plain, "--data", f"folder:{folder}", "--limit", 6, "--json"]
    report = tmp_path / "report"
    few = ["--corrupted", "generate", "--corruption", "fog", "--corruption", "spatter"]
    done = invoke(*line, *few, "--policy", "hflip", "--out", report)
    both = json_of(done)
    (result,) = both["corrupted"]["results"]
    assert {cell["corruption"] for cell in result["cells"]} == {"fog", "spatter"}
    assert result["provenance"]["images"] == both["policies"]["provenance"]["images"] == 6
    assert PART in done.stderr
    for name in ("corrupted", "policies"):
        for path in (report / name / "report.html", report / name / "report.md"):
            text = path.read_text("utf-8")
            assert PART in text, path
            assert "1 of the common 15" in text
            assert "1 of the extra 4" in text
            assert "--limit 6" in text, "the command line is in the report"
    assert PART in " ".join(json_of(invoke(*line))["provenance"]["notes"])


@pytest.mark.slow
def test_a_part_of_a_stored_set(plain: Path, folder: Path, tmp_path: Path) -> None:
    data, stored = f"folder:{folder}", tmp_path / "stored"
    written = ["--corruption", "fog", "--corruption", "contrast", "--size", 32, "--processes", 1]
    assert invoke("corrupt", "--data", data, *written, "--out", stored).exit_code == 0
    line = ["evaluate", plain, "--data", data, "--corrupted", stored, "--json"]
    (result,) = json_of(invoke(*line, "--corruption", "contrast", "--limit", 6))["results"]
    assert [cell["corruption"] for cell in result["cells"]] == ["contrast"] * 5
    notes = " ".join(result["provenance"]["notes"])
    assert "a part of the corrupted set: 1 of 2 corruptions, 6 of 24 images in each cell" in notes
    missing = invoke(*line, "--corruption", "snow")
    assert missing.exit_code == 2
    assert "has no snow; it has contrast, fog" in one_line(missing).replace("fog, contrast", "contrast, fog")


@pytest.mark.slow
def test_a_small_set_is_written(folder: Path, tmp_path: Path) -> None:
    line = ["corrupt", "--data", f"folder:{folder}", "--corruption", "fog", "--size", 32, "--processes", 1]
    done = invoke(*line, "--limit", 6, "--out", tmp_path / "few", "--json")
    assert json_of(done)["images"] == 6
    assert PART in done.stderr
    assert np.load(tmp_path / "few" / "fog.npy").shape == (30, 32, 32, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--corruption fog", "--corruption works only together with --corrupted; add it"),
        ("--corrupted generate --corruption fgo", "did you mean fog?"),
        ("--limit 0", "--limit"),
    ],
)
def test_bad_input(plain: Path, folder: Path, options: str, words: str) -> None:
    done = invoke("evaluate", plain, "--data", f"folder:{folder}", *options.split())
    assert done.exit_code == 2, done.stderr
    assert words in one_line(done)
