from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

from allweather.demo.demo import FULL, PLAIN, ROBUST, busy_note, run_demo
from allweather.demo.drive import SHORT_OF_TIME, SMOOTHED
from allweather.demo.kept_folder import claim_folder
from allweather.demo.settings import DemoSettings
from allweather.journey import Stage
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import OutputError, UsageError
from allweather.trainers.data.signs.conditions import CONDITIONS

SMALL = DemoSettings(
    frames=42, seed=1, num_train=640, plain_epochs=1, robust_epochs=1, predictor_images=60, predictor_epochs=1,
    tuning_images=30,
)  # fmt: skip


def check_report(out: Path, summary: dict[str, Any], frames: int) -> None:
    page = (out / "report.html").read_text()
    for name in re.findall(r'src="([^"]+)"', page):
        assert (out / name).stat().st_size > 1000, name
    assert all(len(text) > 20 for text in re.findall(r'alt="([^"]*)"', page))
    assert cv2.VideoCapture(str(out / "drive.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(frames, abs=1)
    rows = [json.loads(row) for row in (out / "decisions.jsonl").read_text().splitlines()]
    decisions = [row for row in rows if "event" not in row]  # on a slow machine dusk lasts long enough to be told
    assert [row["index"] for row in decisions] == list(range(frames))
    assert summary["short_of_time"] == sum(row["reason"] in SHORT_OF_TIME for row in decisions)
    stored = json.loads((out / "summary.json").read_text())
    assert stored["frames"] == summary["frames"] == frames
    assert set(summary["errors"]) == {PLAIN, ROBUST, FULL, SMOOTHED}
    assert all(set(errors) == {*CONDITIONS, "bad weather"} for errors in summary["errors"].values())
    assert not list(out.glob(".*"))
    for made in out.iterdir():  # is never replaced where no demo has made it
        other = out.parent / f"other-{made.name}"
        other.mkdir()
        (other / made.name).write_text("precious")
        with pytest.raises(OutputError, match="is not the folder of a demo"):
            claim_folder(other)


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_small_demo_writes_all_of_its_files_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with fewer than 50 validation images INT8 that fails the parity gate is not quantized again, which takes a minute
    monkeypatch.setattr("allweather.trainers.data.signs.dataset.SPLITS", {"train": 640, "val": 48, "test": 64})
    out, lines, states = tmp_path / "demo", list[str](), list[Sequence[Stage]]()
    check_report(out, run_demo(out, SMALL, say=lines.append, watch=states.append), SMALL.frames)
    assert len(Bundle.open(out / "signs.aw").classes) == 16
    assert Bundle.open(out / "signs.aw").manifest.policies  # of so few images it is one view
    assert any("report.html" in line for line in lines)
    assert {stage.state for stage in states[-1]} == {"done"}

    (out / "signs.safetensors").unlink()  # as if it had been stopped while the policy was tuned
    before = (out / "robust.safetensors").stat().st_mtime_ns
    kept: dict[str, str] = {}

    def watch(stages: Sequence[Stage]) -> None:
        kept.update({stage.name: stage.state for stage in stages})
        if kept["tune the policy"] == "done":  # what follows was seen above
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(out, SMALL, watch=watch)
    assert kept["finetune it to be robust"] == "kept"
    assert (out / "robust.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_committed_models_beat_the_weather(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    summary = run_demo(out, DemoSettings(frames=210, seed=3), quick=True)
    check_report(out, summary, 210)
    assert summary["error_ratio_robust_tta"] < 0.6
    assert summary["errors"][FULL]["clear"]["error"] <= 0.05
    assert summary["error_smoothed"] < summary[f"error_{FULL}"] + 0.05


def test_a_machine_without_time_for_the_views_is_told() -> None:
    assert busy_note(4, 100) == ""
    assert busy_note(6, 100).startswith("this machine was busy, or is slow: 6 of 100 frames left no time")


@pytest.mark.parametrize(("settings", "message"), [({"frames": 0}, "frames .* 1; got 0"), ({"seed": -1}, "got -1")])
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DemoSettings(**settings)
