"""allweather run --smooth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import invoke, json_of, one_line


@pytest.mark.slow
def test_decisions_are_combined_over_frames(sample_bundle: Path, folder: Path, tmp_path: Path) -> None:
    line = ("run", sample_bundle, "--source", folder / "test" / "red", "--json", "--jsonl")
    alone, smooth = tmp_path / "alone.jsonl", tmp_path / "smooth.jsonl"
    json_of(invoke(*line, alone))
    json_of(invoke(*line, smooth, "--smooth", 10))
    before, after = (
        [json.loads(row) for row in path.read_text().splitlines() if '"event"' not in row] for path in (alone, smooth)
    )
    assert len(before) == len(after) >= 3
    assert not {"frames", "stable", "frame_label"} & set(before[0])
    assert [row["frame_label"] for row in after] == [row["label"] for row in before]
    assert [row["stable"] for row in after] == [row["frames"] >= 3 for row in after]
    assert len({row["label"] for row in after}) <= len({row["label"] for row in before})


def test_a_value_out_of_range(sample_bundle: Path, folder: Path) -> None:
    done = invoke("run", sample_bundle, "--source", folder / "test" / "red", "--smooth", 1)
    assert done.exit_code == 2
    assert "object frames of the smoothing must be finite and at least 2; got 1" in one_line(done)
