"""What the stages that make the classifier say of it."""

from __future__ import annotations

import pytest

from allweather.create.classifier_stages import finetune_result
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
