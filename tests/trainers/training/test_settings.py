from __future__ import annotations

from collections.abc import Callable

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
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
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("label_smoothing", 1.0),
        ("ema", 1.0),
        ("seed", -1),
        ("epochs", 1.5),
        ("batch_size", True),
        ("lr", float("nan")),
        ("momentum", float("nan")),
        ("momentum", 0.0),
        ("weight_decay", float("nan")),
        ("weight_decay", -1.0),
        ("shift", -1),
        ("shift", 99),
        ("seed", 0.5),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', ' ')} must be .*; got {value}"):
        FitSettings(**{name: value})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FitSettings(schedule="linear"), "no schedule is called 'linear'"),
        (lambda: FinetuneSettings(method="focal"), "no method is called 'focal'"),
        (lambda: FinetuneSettings(method="fma", strategy="combined"), "no strategy is called 'combined'"),
        (lambda: TrainConfig(method="mixup"), "no method is called 'mixup'"),
        (lambda: TrainConfig(method="ait", metric="cosine"), "no metric is called 'cosine'"),
        (lambda: TrainConfig(method="ait", layer="last"), "no layer is called 'last'"),
        (lambda: LearnAugmentationSettings(epochs=float("nan")), "epochs must be"),
        (lambda: LearnAugmentationSettings(gan_epochs=1.5), "gan epochs must be"),
    ],
)
def test_unknown_names_are_refused_where_the_settings_are_made(make: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
