"""The names that options choose from are those that the library knows."""

from __future__ import annotations

from typing import get_args

from allweather.exporters.choices import ServerLayout
from allweather.exporters.serving.repository import LAYOUTS
from allweather.runtimes.choices import EngineName, Precision
from allweather.runtimes.engines.registry import exportable, precisions
from allweather.trainers.augmentations.learned.networks import STAGE_HEADS
from allweather.trainers.choices import (
    AugmentationMode,
    CorruptionFamily,
    FinetuneMethod,
    PredictorKind,
    RankLossName,
)
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.methods.pair_objective import DEFAULT_GAMMAS
from allweather.trainers.models.loss_predictor import PREDICTORS


def test_the_library_knows_every_choice() -> None:
    assert set(get_args(PredictorKind)) == set(PREDICTORS)
    assert set(get_args(RankLossName)) == set(RANK_LOSSES)
    assert set(get_args(CorruptionFamily)) == set(FAMILIES)
    assert set(get_args(FinetuneMethod)) == {*DEFAULT_GAMMAS, "at"}  # at has no gamma
    assert set(get_args(AugmentationMode)) == set(STAGE_HEADS)
    assert set(get_args(ServerLayout)) == set(LAYOUTS)


def test_the_table_of_engines_has_every_engine_and_precision_of_a_bundle() -> None:
    assert set(get_args(EngineName)) == set(exportable())
    assert set(get_args(Precision)) == {each for engine in exportable() for each in precisions(engine)}
