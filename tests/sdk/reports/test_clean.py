from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from allweather.evaluation.clean import evaluate_file
from allweather.reports.clean import write_clean_report
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.models.registry import build_model

ROW = {"epoch": 1.0, "loss": 1.0, "val_accuracy": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("history", "drawn"),
    [
        ((ROW, {**ROW, "epoch": 2.0, "loss": math.nan}), True),
        ((ROW, {"step": 2.0}), False),  # of another program
        (({},), False),
        ((), False),
    ],
)
def test_a_history_that_cannot_be_drawn_ends_no_report(
    folder: Path, tmp_path: Path, history: tuple[Mapping[str, float], ...], drawn: bool
) -> None:
    spec = InputSpec(16, 16)
    classes = tuple(sorted(path.name for path in (folder / "train").iterdir()))
    weights = build_model("resnet20", len(classes), spec).network.state_dict()
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, Checkpoint("resnet20", classes, spec, weights, "x", 0, history=history))
    write_clean_report(evaluate_file(path, f"folder:{folder}"), tmp_path / "report")
    assert (tmp_path / "report/training.png").exists() == drawn
    assert (tmp_path / "report/report.html").exists()
