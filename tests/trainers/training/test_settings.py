from __future__ import annotations

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.schedules import lr_factor
from allweather.trainers.training.settings import FitSettings


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_the_learning_rate_rises_once_and_falls_to_zero(schedule: str) -> None:
    factors = [lr_factor(schedule, step / 1000) for step in range(1001)]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch_size", 1), ("lr", 0.0), ("label_smoothing", 1.0), ("ema", 1.0), ("seed", -1)],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', ' ')} must be .*; got {value}"):
        FitSettings(**{name: value})
