"""Losses: consistency between the outputs for two views of an image, and ranking losses for the loss predictor."""

from __future__ import annotations

from allweather.trainers.losses.consistency import (
    Metric,
    ai_loss,
    feature_map_loss,
    jensen_shannon_divergence,
    kl_divergence,
    stability_loss,
)
from allweather.trainers.losses.pairs import PairOutputs, run_pair
from allweather.trainers.losses.ranking import RANK_LOSSES, RankLoss

__all__ = [
    "RANK_LOSSES",
    "Metric",
    "PairOutputs",
    "RankLoss",
    "ai_loss",
    "feature_map_loss",
    "jensen_shannon_divergence",
    "kl_divergence",
    "run_pair",
    "stability_loss",
]
