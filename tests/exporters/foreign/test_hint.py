"""A wrong preparation is found out where it costs accuracy, and nothing is said where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx_graphs import Form, build

from allweather.exporters.foreign import InputSettings, open_foreign
from allweather.exporters.foreign.hint import _other_order, preparation_hint
from allweather.trainers.data.dataset import Dataset


def hint(
    head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path, classes: tuple[str, ...] = (), **settings: Any
) -> str:
    onnx.save(build(Form(), head), tmp_path / "their.onnx")
    model = open_foreign(tmp_path / "their.onnx", classes or dataset.classes, InputSettings(**settings))
    return preparation_hint(model.source, model.input, dataset.with_classes(model.classes).train, model.classes)


@pytest.mark.parametrize(
    "settings", [{"channels": "bgr"}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "pixels": 255}]
)
@pytest.mark.slow
def test_a_better_preparation_is_named(
    settings: dict[str, Any], head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path
) -> None:
    text = hint(head, dataset, tmp_path, **settings)
    assert "--channels rgb" in text
    assert "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --pixels 1" in text


def test_a_right_preparation_gets_no_hint(head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path) -> None:
    assert hint(head, dataset, tmp_path) == ""


def test_classes_in_another_order_are_thought_of(
    head: npt.NDArray[np.float32], dataset: Dataset, tmp_path: Path
) -> None:
    text = hint(head, dataset, tmp_path, ("green", "red", "blue"))  # its outputs are blue, green, red
    assert "100 % if its outputs are blue, green, red: then correct --classes" in text


def test_a_classifier_of_very_many_classes_takes_no_memory_for_each_pair_of_them() -> None:
    indices = np.arange(64)
    assert _other_order(indices, indices, 10_000_000) == ([], 0.0)
