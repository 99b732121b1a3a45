"""What an engine gives is checked: no decision is made of outputs of another shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allweather.runtimes.errors import EngineError
from allweather.runtimes.perceiver import LargeClassifier, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy

IMAGE = np.zeros((8, 8, 3), np.uint8)
CLASSES = ("a", "b", "c")
WRONG: dict[str, Any] = {
    "one output more": np.zeros((1, 5), np.float32),
    "one image for all": np.zeros((1, 3), np.float32)[:0],
    "no batch": np.zeros(3, np.float32),
    "one dimension more": np.zeros((1, 3, 1), np.float32),
    "nothing": None,
    "text": np.array([["a", "b", "c"]]),
}


class GivingEngine:
    """An engine that gives always the same."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def infer(self, images: Any) -> Any:
        return self.given

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("kind", WRONG)
def test_outputs_of_another_shape_are_no_decision(kind: str) -> None:
    perceiver = Perceiver(GivingEngine(WRONG[kind]), CLASSES, InputSpec(8, 8))
    calls = (
        lambda: perceiver(IMAGE),
        lambda: perceiver.batch([IMAGE]),
        lambda: perceiver.objects(IMAGE, [[0, 0, 4, 4]]),
    )
    for call in calls:
        with pytest.raises(EngineError, match=r"for 1 image and 3 classes; wanted are logits, float32 \[1, 3\]"):
            call()


@pytest.mark.parametrize("kind", WRONG)
def test_those_of_a_large_classifier_neither(kind: str) -> None:
    right = GivingEngine(np.zeros((1, 3), np.float32))
    large = LargeClassifier(GivingEngine(WRONG[kind]))
    perceiver = Perceiver(right, CLASSES, InputSpec(8, 8), policy=parse_policy("center+large@0.9"), large=large)
    with pytest.raises(EngineError, match="3 classes; wanted are logits"):
        perceiver(IMAGE)


@pytest.mark.parametrize("given", [[[0.0, 0.0, 9.0]], np.array([[0, 0, 9]]), np.array([[0.0, 0.0, 9.0]])])
def test_what_is_such_an_array_is_taken(given: Any) -> None:
    assert Perceiver(GivingEngine(given), CLASSES, InputSpec(8, 8))(IMAGE).label == "c"
