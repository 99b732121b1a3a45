"""What the stages that make the classifier say of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx_graphs import Form, build
from trained_models import paint_folder

from allweather.create.classifier_stages import finetune_result, open_start
from allweather.create.config import CreateConfig, Onnx
from allweather.create.settings import CreateSettings
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint


@pytest.mark.parametrize(
    ("settings", "result", "noted"),
    [
        ({}, "90.5 % on clean validation images", False),
        ({"finetuned_share": 0.7}, "90.5 % on clean validation images, with 70 % of the finetuned weights", False),
        ({"finetuned_share": 0.0}, "90.5 % on clean validation images, with 0 % of the finetuned weights", True),
    ],
)
def test_it_is_told_how_much_of_a_finetuning_is_left(settings: dict[str, float], result: str, noted: bool) -> None:
    made = settings and {**settings, "max_clean_drop": 0.5}
    metrics = {"val_accuracy": 0.905}
    told = finetune_result(Checkpoint("resnet8", ("a", "b"), InputSpec(8, 8), {}, "x", 0, made, metrics=metrics))
    assert told.text == result
    assert bool(told.notes) == noted
    if noted:
        assert "loses more than 0.5 points of clean accuracy" in told.notes[0]


@pytest.mark.parametrize(("said", "expected"), [(None, True), (False, False)])
def test_somebodys_classifier_may_be_one_of_arrows(tmp_path: Path, said: bool | None, expected: bool) -> None:
    """Its predictor is not trained on flipped images then, and no policy that flips is compared."""
    data = paint_folder(tmp_path / "colors", {"train": 2, "val": 2, "test": 2})
    onnx.save(build(Form()), tmp_path / "their.onnx")
    config = CreateConfig(data=f"folder:{data}", onnx=Onnx(file=str(tmp_path / "their.onnx"), hflip=said))
    assert open_start(config, CreateSettings.of(config), download=False).dataset.hflip is expected
