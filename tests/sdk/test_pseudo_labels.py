"""The sample that makes training data of confident decisions, without Ray, which wrote them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from sample_runs import SAMPLES

from allweather.trainers.data.files.rows import read_rows


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SAMPLES / "pseudo_labels.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_confident_decisions_become_a_new_list(tmp_path: Path) -> None:
    decisions, out = tmp_path / "decisions", tmp_path / "prepared.csv"
    decisions.mkdir()
    rows = {"path": ["/a.png", "/b.png", "/c\ufffd.png"], "label": ["x", "y", "x"], "confidence": [0.95, 0.5, 0.99]}
    pyarrow.parquet.write_table(pyarrow.table(rows), decisions / "0.parquet")
    assert "1 of 3 images" in run(decisions, out).stdout
    assert [(row.path, row.label, row.split) for row in read_rows(out)] == [("/a.png", "x", "train")]

    out.write_text("corrected by hand")
    for words, code, message in (
        ((decisions, out), 1, "File exists"),
        ((decisions, tmp_path / "x.csv", "--least", "nan"), 2, "a confidence from 0 to 1; got nan"),
        ((tmp_path / "empty", tmp_path / "x.csv"), 1, "holds no decisions"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        done = run(*words)
        assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert out.read_text() == "corrected by hand"
