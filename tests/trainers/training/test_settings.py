from __future__ import annotations

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.schedules import rate_share
from allweather.trainers.training.settings import FitSettings


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_rates_climb_once_and_fall_to_nothing(schedule: str) -> None:
    shares = [rate_share(schedule, step / 1000) for step in range(1001)]
    top = shares.index(max(shares))
    assert max(shares) == pytest.approx(1, abs=1e-3)
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert shares[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch", 1), ("lr", 0.0), ("label_smoothing", 1.0), ("ema", 1.0), ("seed", -1)],
)
def test_what_cannot_train_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', ' ')} must be .*; got {value}"):
        FitSettings(**{name: value})
