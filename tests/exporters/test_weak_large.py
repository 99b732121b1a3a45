"""A large classifier that is worse than the one before it is told at the export."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from allweather.exporters.compilation import Compilation


def compilation(**accuracies: float) -> Compilation:
    models: Any = tuple(
        SimpleNamespace(role=role, parity=SimpleNamespace(reference_accuracy=accuracy))
        for role, accuracy in accuracies.items()
    )
    return Compilation(models, {}, (), None)


def test_a_large_classifier_that_is_worse_is_told(caplog: pytest.LogCaptureFixture) -> None:
    compilation(classifier=0.717, large=0.647).warn_of_weak_large()
    (line,) = caplog.messages
    assert line.startswith("the large classifier reads 64.7 % of the validation images correctly")
    assert "and the classifier 71.7 %" in line
    assert line.endswith("if the two are swapped, name them the other way round")


@pytest.mark.parametrize("accuracies", [{"classifier": 0.7, "large": 0.7}, {"classifier": 0.7}])
def test_nothing_is_said_of_others(accuracies: dict[str, float], caplog: pytest.LogCaptureFixture) -> None:
    compilation(**accuracies).warn_of_weak_large()
    assert not caplog.messages
