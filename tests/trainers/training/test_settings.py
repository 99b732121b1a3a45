from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.training.schedules import WARMUPS, lr_factor
from allweather.trainers.training.settings import FitSettings


@pytest.mark.parametrize("warmup", [None, 0.0, 0.1, 0.9])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_the_learning_rate_rises_once_and_falls_to_zero(schedule: str, warmup: float | None) -> None:
    factors = [lr_factor(schedule, step / 1000, warmup) for step in range(1001)]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    assert top / 1000 == pytest.approx(WARMUPS[schedule] if warmup is None else warmup, abs=1e-3)


def test_the_step_schedule_divides_the_learning_rate_by_ten_at_each_milestone() -> None:
    milestones = FitSettings().milestones
    factors = [lr_factor("step", progress, None, milestones) for progress in (0, 0.49, 0.5, 0.74, 0.75, 1)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert lr_factor("step", 0.05, 0.1, milestones) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("accumulate", 0),
        ("accumulate", 1.5),
        ("patience", 0),
        ("patience", 1.5),
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
        ("milestones", (0.5, 0.5)),
        ("milestones", (0.0, 0.5)),
        ("milestones", (0.5, 1.0)),
        ("milestones", (float("nan"),)),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("warmup", float("nan")),
        ("clip_norm", 0.0),
        ("clip_norm", float("inf")),
        ("clip_norm", float("nan")),
        ("shift", -1),
        ("shift", 99),
        ("seed", 0.5),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', ' ')} must be .*; got {re.escape(str(value))}"):
        FitSettings(**{name: value})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FitSettings(class_weights="inverse"), "no class weighting is called 'inverse'"),
        (lambda: FitSettings(sampling="even"), "no sampling is called 'even'"),
        (lambda: FitSettings(class_weights="balanced", sampling="balanced"), "both balance the classes; leave one"),
        (lambda: PredictorSettings(fit=FitSettings(sampling="balanced")), "learns losses and not classes"),
        (lambda: FitSettings(optimizer="lamb"), "no optimizer is called 'lamb'"),
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


def test_the_images_of_a_loss_predictor_are_never_shifted() -> None:
    assert PredictorSettings(fit=FitSettings(epochs=3)).fit == FitSettings(epochs=3, shift=0)
