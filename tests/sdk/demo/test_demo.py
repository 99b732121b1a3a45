from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import pytest

from allweather.demo.demo import run_demo
from allweather.runtimes.bundle.bundle import Bundle


@pytest.mark.slow
def test_a_small_demo_writes_all_of_its_files(tmp_path: Path) -> None:
    lines: list[str] = []
    out, small = tmp_path / "demo", {"epochs": 1, "frames": 60, "seed": 1, "num_train": 640}
    summary = run_demo(out, **small, say=lines.append, watch=lambda done, text: None)
    page = (out / "report.html").read_text()
    for name in re.findall(r'src="([^"]+)"', page):
        assert (out / name).stat().st_size > 1000, name
    assert cv2.VideoCapture(str(out / "drive.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(60, abs=1)
    assert json.loads((out / "summary.json").read_text()) == pytest.approx(summary)
    rows = [json.loads(row) for row in (out / "decisions.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(60))
    assert len(Bundle.open(out / "signs.aw").classes) == 16
    assert summary["frames"] == 60
    assert {name for name in summary if name.startswith("drive_")} == {
        f"drive_accuracy_{condition}" for condition in ("clean", "dark", "noise", "blur")
    }
    assert any("report.html" in line for line in lines)
    assert not list(out.glob(".*"))
