from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from allweather.evaluation import clean, evaluate
from allweather.evaluation.metrics import ClassScores
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
    write_clean_report(evaluate(path, f"folder:{folder}"), tmp_path / "report")
    assert (tmp_path / "report/training.png").exists() == drawn
    assert (tmp_path / "report/report.html").exists()


@pytest.mark.slow
def test_the_table_of_classes_begins_with_the_worst_and_is_cut(plain: Path, folder: Path, tmp_path: Path) -> None:
    evaluation = evaluate(plain, f"folder:{folder}")
    assert evaluation.recall == pytest.approx(evaluation.accuracy)  # all classes have as many test images
    assert evaluation.f1 == pytest.approx(sum(each.f1 for each in evaluation.by_class.values()) / 3)
    scores = {f"class {index}": ClassScores(8, 0.5, 0.5, (index * 7 % 1000) / 1000) for index in range(1000)}
    many = dataclasses.replace(evaluation, by_class=scores)
    write_clean_report(many, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "The 50 with the lowest F1 of 1000 classes" in page
    shown = re.findall(r"class \d+", page)
    expected = sorted(scores, key=lambda name: scores[name].f1)
    assert [name for name in shown if name in scores] == expected[:50]
    assert len(json.loads((tmp_path / "result.json").read_text())["by_class"]) == 1000


@pytest.mark.slow
def test_very_many_classes_have_no_confusion_matrix(
    plain: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "MAX_CONFUSION_CLASSES", 2)
    evaluation = evaluate(plain, f"folder:{folder}")
    assert evaluation.confusion == ()
    write_clean_report(evaluation, tmp_path / "report")
    assert not (tmp_path / "report/confusion.png").exists()
    assert "Left out, as there are 3 classes." in (tmp_path / "report/report.html").read_text()
