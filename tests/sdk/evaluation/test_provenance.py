"""How the results of an evaluation are called."""

from __future__ import annotations

import pytest

from allweather.create.classifier_stages import BUNDLE, CHECKPOINT
from allweather.evaluation.provenance import Provenance


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("models/robust.aw", "robust.aw (torch fp32)"),
        (f".my.aw.create/train/{CHECKPOINT}", "train/classifier.safetensors (torch fp32)"),
        (f".my.aw.create/export/{BUNDLE}", "export/classifier.aw (torch fp32)"),
        (CHECKPOINT, "classifier.safetensors (torch fp32)"),
    ],
)
def test_models_of_the_stages_of_create_are_told_apart(model: str, title: str) -> None:
    assert Provenance(model, "torch fp32", "folder:images", 10, (), "a machine").title == title
